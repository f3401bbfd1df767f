"""The command: what it prints, what it refuses, what it returns."""

import json
import re
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
    assert "digits (about 1 s)" in text
    assert f"sparse ({registry.duration(('sparse',))}; only with --suite sparse)" in text


def test_help_says_how_long_every_suite_takes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for suite in cli.SUITES:
        line = next(line.split() for line in lines if line.startswith(f"  {suite} "))
        alone, with_peers = registry.duration((suite,)), registry.duration((suite,), peers=True)
        assert line == [suite, *alone.split(), "with", "--peers", *with_peers.split()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--suite", "matmul,speed"], "unknown suite 'speed' (known: digits, matmul,"),
        (["--peers", "tensorflow"], "unknown peer 'tensorflow' (known: autograd, torch, jax)"),
        (["--suite", ","], "names no suite"),
        (["--threads", "3"], "invalid choice: '3'"),
        (["--processes", "0"], "'0' is not a number of processes"),
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
    names = {"matmul_vjp", "matmul_vjp_complex", "matmul_gradients"}
    assert {row["name"] for row in read["rows"]} == names
    copy = document.with_name("copy.json")
    report.save(read, str(copy))
    assert report.load(str(copy)) == read


def test_the_instruction_sets_are_shown(document, capsys):
    shown = report.load(str(document))["environment"] | {"simd": "avx2", "numpy_simd": ["X86_V3"]}
    report.show_environment(shown, Console(plain=True))
    line = "instruction sets: avx2 (fastbp), X86_V3 (NumPy)"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[1]", "is not a report"),
        ('{"kind": "fastbp-bench", "schema": 99}', "has schema 99"),
        ('{"kind": "fastbp-bench", "schema": 1}', "has schema 1, this version reads 2"),
        ('{"kind": "fastbp-bench", "schema": 2, "rows": [{}]}', "is not a complete report"),
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


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_progress_on_a_terminal_keeps_bar_count_and_time_on_one_line(columns, monkeypatch, capsys):
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with Console().progress(120) as progress:
        for _ in range(3):
            progress.step("trajectory (sunspots, k=4), threads: default, " * 5)
            progress._bar.refresh()
    drawn = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
             for line in re.split(r"[\r\n]+", capsys.readouterr().out)]  # fmt: skip
    steps = [line for line in drawn if "trajectory" in line]
    assert steps
    for line in steps:
        assert re.match(r"\S+ +\d/120 \d:\d\d:\d\d trajectory.*…$", line), line
        assert len(line) <= columns


def test_progress_without_a_terminal_is_lines(capsys):
    with Console(plain=True).progress(2) as progress:
        progress.step("first")
        progress.step("second")
    assert capsys.readouterr().err == "[1/2] first\n[2/2] second\n"


def row(**changes):
    figures = {"median": 2e-6, "q1": 2e-6, "q3": 2e-6, "min": 2e-6, "count": 12}
    ratio = {"median": 2.0, "q1": 2.0, "q3": 2.0, "min": 2.0, "count": 12, "low": 1.9, "high": 2.1}
    return {
        "suite": "mlp", "name": "net", "title": "A net.", "params": {"n": 3, "kind": "deep"},
        "threads": "one", "unit": "s", "against": "torch", "peer": True, "checked": 1e-16,
        "fastbp": figures, "other": figures, "times_faster": ratio, "processes": [],
        "undisturbed": True, "load": LOAD, "target": {"at_least": 10.0, "text": ""},
        "verdict": "missed", "why": "", "note": None, **changes,
    }  # fmt: skip


LOAD = {"cpus": 2, "average": 3.2, "others": 1.4, "stolen": 0.0, "programs": ["cc1"]}
BUSY = {"verdict": "not measured", "why": "most samples had to wait"}


def report_of(*rows, **changes):
    return {
        "rows": list(rows), "notes": [], "failures": [], "digits": None, "quick": False,
        "peers": (), **changes,
    }  # fmt: skip


def test_the_report_says_what_was_missed_and_missing(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    absent = row(against="jax", other=None, times_faster=None, verdict=None, note="no jax here")
    scattered = row(against="autograd", **BUSY, target={"at_least": 0.8, "text": "cost <= 1.25x"})
    scattered["times_faster"] = scattered["times_faster"] | {"low": 0.5}
    report.show(report_of(row(), absent, scattered, failures=["net: wrong"]), Console(plain=True))
    text = capsys.readouterr().out
    assert "net: A net." in text
    assert "n=3, deep, one thread  2.00 us" in text
    assert "2.00 ±5%  >= 10" in text
    assert "~2.00 ±300%  >= 0.8 (cost <= 1.25x)  not measured" in text
    assert "note: no jax here" in text
    missed = "missed: net (n=3, deep), one thread, against torch: 2.00 times faster "
    assert missed + "(99 % interval 1.90 to 2.10), target >= 10" in text
    assert "target >= 0.8 (cost <= 1.25x); most samples had to wait" in text
    assert "~: not steady to 10 %, so a rough figure (other programs used 1.4 of 2 CPUs" in text
    assert "CHECK FAILED: net: wrong" in text


MET = {"verdict": "met"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"failures": ["net: wrong"]}, ["a check failed", "fastbp-bench --json report.json"]),
        ({"rows": []}, ["its gradients are right", "`fastbp-bench` measures speed"]),
        ({"quick": True}, ["a smoke test whose times say little"]),
        (
            {},
            [
                "timed fastbp against torch", "of 1 target for its speed 0 met, 1 missed",
                "slower than promised where MISSED stands", "`fastbp-bench --suite mlp --json",
            ],
        ),
        (
            {"rows": [row(**MET), row(**BUSY)]},
            [
                "of 2 targets for its speed 1 met, 0 missed, 1 not measured",
                "(other programs used 1.4 of 2 CPUs (cc1), load average 3.2)",
                "so nothing speaks against the promised speed, but not all is shown",
                "run `fastbp-bench --suite mlp` again while no other program is busy",
            ],
        ),
        ({"rows": [row(**MET)]}, ["as fast here as promised", "`fastbp-bench --peers`"]),
        ({"rows": [row(**MET)], "peers": ("torch",)}, ["next, `fastbp-bench list` shows"]),
        ({"rows": [row(verdict=None)]}, ["figures to read, not to pass or fail"]),
    ],
)  # fmt: skip
def test_the_report_ends_with_one_sentence(changes, said):
    rows = changes.pop("rows", [row()])
    text = report.conclusion(report_of(*rows, **changes), "fastbp-bench")
    assert text.count(". ") == 0
    assert text.endswith(".")
    for words in said:
        assert words in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("terminal", [True, False, None], ids=["terminal", "piped", "plain"])
def test_no_width_loses_a_word_of_a_table(width, terminal, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    target = {"at_least": 1 / 1.03, "text": "cost <= 1.03x"}
    params = {"batch": 256, "width": 128}
    first = row(against="NumPy left to right", params=params, target=target, **BUSY)
    others = [row(against=name, params=params, verdict="met") for name in ("PyTorch", "JAX")]
    report.show(report_of(first, *others), Console(plain=terminal is None))
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # colours
    assert max(map(len, text.splitlines())) <= width
    table = text[text.index("net: A net.") :].split()
    for words in (
        "takes times faster target", "fastbp / against", "batch=256, width=128, one thread 2.00 us",
        "NumPy left to right 2.00 us 2.00 ±5% >= 0.971 (cost <= 1.03x) not measured",
        "PyTorch 2.00 us 2.00 ±5% >= 10 met", "JAX 2.00 us 2.00 ±5% >= 10 met",
    ):  # fmt: skip
        for word in set(words.split()):
            assert word in table
    assert table.count("met") == 2
    assert table.count("2.00") >= 7


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
