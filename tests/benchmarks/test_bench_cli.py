"""The command: what it prints, what it refuses, what it returns."""

import json
import sys

import pytest

from fastbp.benchmarks import cli, digits, registry, report
from fastbp.benchmarks.console import Console

FAST = ["--quick", "--threads", "one", "--plain"]


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """Write the report of a quick run of one suite."""
    path = tmp_path_factory.mktemp("report") / "report.json"
    assert cli.main([*FAST, "--suite", "matmul", "--json", str(path)]) == 0
    return path


@pytest.mark.parametrize("options", [["--plain"], []])
def test_list_names_every_benchmark(options, capsys):
    assert cli.main([*options, "list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in registry.BENCHMARKS)
    assert "digits" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "matmul,speed"], "unknown suite 'speed' (known: digits, matmul,"),
        (["--peers", "tensorflow"], "unknown peer 'tensorflow' (known: autograd, torch, jax)"),
        (["--suite", ","], "names no suite"),
        (["--threads", "3"], "invalid choice: '3'"),
        (["compare", "a.json"], "required: B.json"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(options)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_peers_without_a_name_are_all():
    assert cli._parser().parse_args(["--peers"]).peers == ("autograd", "torch", "jax")
    assert cli._parser().parse_args(["--peers", "jax,torch,jax"]).peers == ("jax", "torch")
    assert cli._parser().parse_args([]).peers == ()


def test_a_report_is_read_as_it_was_written(document):
    read = report.load(str(document))
    assert read["schema"] == report.SCHEMA
    assert read["environment"]["versions"]["numpy"]
    assert {row["name"] for row in read["rows"]} == {"matmul_vjp", "matmul_gradients"}
    copy = document.with_name("copy.json")
    report.save(read, str(copy))
    assert report.load(str(copy)) == read


def test_the_instruction_sets_are_shown(document, capsys):
    shown = report.load(str(document))["environment"] | {"simd": "avx2", "numpy_simd": ["X86_V3"]}
    report.show_environment(shown, Console(plain=True))
    line = "instruction sets: avx2 (fastbp), X86_V3 (NumPy)"
    assert line in capsys.readouterr().out.splitlines()


def test_compare_tells_faster_from_slower(document, tmp_path, capsys):
    slower = report.load(str(document))
    slower["environment"]["cpu"] = "another"
    for row in slower["rows"]:
        row["fastbp"] = {key: 3 * value for key, value in row["fastbp"].items()}
    slower["rows"] = [row for row in slower["rows"] if row["params"] != {"n": 64}]
    report.save(slower, str(tmp_path / "slower.json"))
    assert cli.main(["--plain", "compare", str(document), str(tmp_path / "slower.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("matmul_vjp (n=4)"))
    assert "3.00x" in row
    assert row.endswith("slower")
    assert "only in the first report: matmul_vjp (n=64) (one)" in lines
    assert any(line.startswith("not the same cpu") for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[1]", "is not a report"),
        ('{"kind": "fastbp-bench", "schema": 99}', "has schema 99"),
        ('{"kind": "fastbp-bench", "schema": 1, "rows": [{}]}', "is not a complete report"),
    ],
)
def test_compare_refuses_what_is_no_report(text, message, document, tmp_path, capsys):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    assert cli.main(["compare", str(document), str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(path) in error


def test_a_file_that_cannot_be_written_stops_it_before_the_work(tmp_path, capsys):
    assert cli.main([*FAST, "--json", str(tmp_path / "missing" / "report.json")]) == 2
    captured = capsys.readouterr()
    assert "cannot write" in captured.err
    assert "epoch" not in captured.out


def test_training_is_shown(capsys):
    assert cli.main([*FAST, "--suite", "digits"]) == 0
    text = capsys.readouterr().out
    assert "epoch  1" in text
    assert "images held out (must exceed 95%)" in text


def test_a_failed_check_is_an_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(digits, "ACCURACY", 1.0)
    assert cli.main([*FAST, "--suite", "digits"]) == 1
    assert "CHECK FAILED: digits: test accuracy" in capsys.readouterr().out


def test_without_rich_and_threadpoolctl(monkeypatch, capsys):
    for module in ("rich.console", "threadpoolctl"):
        monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["--quick", "--suite", "digits"]) == 0
    assert "threadpoolctl is not installed" in capsys.readouterr().out
    assert Console()._rich is None


def test_plain_table(capsys):
    Console(plain=True).table("title", ["what", "takes"], [["a", "1 ms"], ["bcdef", "22 ms"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["title", "-----  -----", "what   takes", "a       1 ms", "bcdef  22 ms", ""]


def test_progress_without_a_terminal_is_lines(capsys):
    with Console(plain=True).progress(2) as progress:
        progress.step("first")
        progress.step("second")
    assert capsys.readouterr().err == "[1/2] first\n[2/2] second\n"


def row(**changes):
    figures = {"median": 2e-6, "q1": 2e-6, "q3": 2e-6, "min": 2e-6, "count": 3}
    ratio = {"median": 0.5, "q1": 0.5, "q3": 0.5, "min": 0.5, "count": 3, "of_minima": 0.4}
    return {
        "suite": "mlp", "name": "net", "title": "A net.", "params": {"n": 3, "kind": "deep"},
        "threads": "one", "unit": "s", "against": "torch", "peer": True, "checked": 1e-16,
        "fastbp": figures, "other": figures, "ratio": ratio,
        "target": {"ratio": 0.1, "text": "10x faster"}, "met": False, "note": None, **changes,
    }  # fmt: skip


def test_the_report_says_what_was_missed_and_missing(capsys):
    absent = row(against="jax", other=None, ratio=None, met=None, note="jax is not installed")
    report.show(
        {"rows": [row(), absent], "notes": [], "failures": ["net: wrong"]}, Console(plain=True)
    )
    text = capsys.readouterr().out
    assert "net: A net." in text
    assert "2.00 us" in text
    assert "note: jax is not installed" in text
    assert "targets met: 0 of 1" in text
    missed = "missed: net (n=3, deep), threads: one: 2.00x faster against torch, target 10x faster"
    assert f"{missed} (2.50x faster by the smallest samples)" in text
    assert "CHECK FAILED: net: wrong" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0.00 ns"),
        (1.234e-9, "s", "1.23 ns"),
        (123.4e-6, "s", "123 us"),
        (9.99, "s", "9.99 s"),
        (1.5e6, "bytes", "1.5 MB"),
    ],
)
def test_quantities(value, unit, text):
    assert report.quantity(value, unit) == text


def test_a_report_is_json_all_through(document):
    assert json.loads(document.read_text())["failures"] == []
