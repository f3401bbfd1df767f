"""Every example runs."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def run(path, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(path, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    run(path, monkeypatch)
    assert capsys.readouterr().out
    assert not list(tmp_path.iterdir())  # no example writes a file unasked


def test_the_norms_are_plotted_into_the_file_that_is_named(monkeypatch, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    run(FOLDER / "sunspots.py", monkeypatch, str(tmp_path / "norms.png"))
    assert (tmp_path / "norms.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_examples():
    assert len(EXAMPLES) >= 3
