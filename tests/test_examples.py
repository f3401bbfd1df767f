"""Every example runs."""

import re
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
README = (FOLDER / "README.md").read_text()


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


def test_the_list_has_every_example_with_the_time_it_takes():
    rows = re.findall(r"^\| \[(\S+)\]\((\S+)\) \| .+ \| ([\d.]+) \|$", README, re.MULTILINE)
    assert {name for name, _, _ in rows} == {path.name for path in EXAMPLES}
    assert all(name == link and float(seconds) > 0 for name, link, seconds in rows)
