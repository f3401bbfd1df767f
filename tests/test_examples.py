"""Every example runs."""

import importlib.util
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
    drawn = [tmp_path / "picture.png"] if importlib.util.find_spec("matplotlib") else []
    run(path, monkeypatch, *map(str, drawn))
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()) == drawn  # no example writes a file unasked
    for picture in drawn:
        assert picture.read_bytes().startswith(b"\x89PNG")
        sys.modules["matplotlib.pyplot"].close("all")


def test_an_example_writes_no_file_unasked(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(FOLDER / "matrix_gradients.py", monkeypatch)
    assert not list(tmp_path.iterdir())


def test_the_list_has_every_example_with_the_time_it_takes():
    rows = re.findall(r"^\| \[(\S+)\]\((\S+)\) \| .+ \| ([\d.]+) \|$", README, re.MULTILINE)
    assert {name for name, _, _ in rows} == {path.name for path in EXAMPLES}
    assert all(name == link and float(seconds) > 0 for name, link, seconds in rows)
