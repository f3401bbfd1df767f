"""Two reports: what may be called a change, and what may not."""

import copy
import statistics

import numpy as np
import pytest

from fastbp.benchmarks import cli, comparison, report

ROWS = 28
LOAD = {"cpus": 2, "average": 0.1, "others": 0.02, "stolen": 0.0, "programs": []}


def a_report(rng, processes=2, drift=0.1, faster=1.0):
    """Make a report: processes differ by 2 %, minutes by `drift`; fastbp is so many times faster.

    A slow minute is one for what fastbp stands against, too.
    """
    rows = []
    for i in range(ROWS):
        own, other = (1e-6 * np.exp(rng.normal(0, 0.02, processes)) for _ in range(2))
        minute = np.exp(rng.normal(0, drift, processes))
        own, ratio = own * minute / faster, other / own * faster
        rows.append(a_row(i, list(own), list(ratio)))
    return a_document(rows)


def a_row(n, own, ratio, **changes):
    def summary(values):
        return {"median": statistics.median(values), "min": min(values), "count": 12}

    processes = [
        {"fastbp": a, "times_faster": b, "rounds": 6, "quiet": True}
        for a, b in zip(own, ratio, strict=True)
    ]
    return {
        "suite": "mlp", "name": "net", "title": "A net.", "params": {"n": n}, "threads": "one",
        "unit": "s", "against": "NumPy", "peer": False, "checked": 0.0, "fastbp": summary(own),
        "other": summary(own), "times_faster": summary(ratio), "processes": processes,
        "undisturbed": True, "load": LOAD, "target": None, "verdict": None, "why": "",
        "note": None, **changes,
    }  # fmt: skip


def a_document(rows, **changes):
    return {
        "kind": report.KIND, "schema": report.SCHEMA, "quick": False, "peers": [], "digits": None,
        "environment": {"cpu": "a", "cpus": 2}, "rows": rows, "notes": [], "failures": [],
        "seconds": {}, **changes,
    }  # fmt: skip


def verdicts(old, new):
    return [change.verdict for change in comparison.changes(old, new)]


def test_the_same_code_is_neither_faster_nor_slower():
    rng = np.random.default_rng(1)
    pairs = [verdicts(a_report(rng), a_report(rng)) for _ in range(100)]
    assert all(len(pair) == ROWS for pair in pairs)
    called = [pair for pair in pairs if set(pair) != {"undecided"}]
    assert len(called) <= 5


def test_a_machine_that_became_slower_is_not_the_code():
    rng = np.random.default_rng(2)
    old, new = a_report(rng, drift=0.0), a_report(rng, drift=0.0)
    for row in new["rows"]:
        for process in row["processes"]:
            process["fastbp"] *= 2
    assert set(verdicts(old, new)) == {"undecided"}


def test_a_change_beyond_the_spread_is_called():
    rng = np.random.default_rng(3)
    old, new = a_report(rng, drift=0.01), a_report(rng, drift=0.01, faster=1.5)
    assert verdicts(old, new).count("faster") == ROWS
    assert verdicts(new, old).count("SLOWER") == ROWS
    change = comparison.changes(old, new)[0]
    assert change.times == pytest.approx(1.5, rel=0.1)
    assert 1.05 <= change.told <= 1.4


def test_more_processes_tell_smaller_changes():
    rng = np.random.default_rng(4)
    few = comparison.changes(a_report(rng, 2, 0.0), a_report(rng, 2, 0.0))
    many = comparison.changes(a_report(rng, 8, 0.0), a_report(rng, 8, 0.0))
    told = [statistics.median(change.told for change in found) for found in (few, many)]
    assert told[1] < 0.7 * told[0] + 0.3  # half as many standard errors above 1, or nearly


def test_what_one_process_saw_is_undecided():
    rng = np.random.default_rng(5)
    old, new = a_report(rng, processes=1), a_report(rng, processes=1, faster=3.0)
    changes = comparison.changes(old, new)
    assert {(change.verdict, change.told) for change in changes} == {("undecided", None)}


def test_what_had_to_wait_is_undecided():
    old = a_document([a_row(1, [1e-6, 1e-6], [1.0, 1.0], undisturbed=False)])
    new = a_document([a_row(1, [3e-7, 3e-7], [3.3, 3.3])])
    assert verdicts(old, new) == ["undecided"]


def test_memory_is_less_or_more():
    old = a_document([a_row(1, [1e6], [1.0], unit="bytes")])
    new = a_document([a_row(1, [2e6], [0.5], unit="bytes")])
    assert verdicts(old, new) == ["MORE"]
    assert verdicts(new, old) == ["less"]
    assert verdicts(old, old) == [""]


def compare(old, new, tmp_path, capsys):
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for document, path in zip((old, new), paths, strict=True):
        report.save(document, path)
    assert cli.main(["--plain", "compare", *paths]) == 0
    return capsys.readouterr().out


def test_the_command_states_changes_and_their_spread(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rng = np.random.default_rng(6)
    old, new = a_report(rng, drift=0.0), a_report(rng, drift=0.0)
    new["environment"] = {"cpu": "b", "cpus": 2}
    for row in new["rows"][1:2]:
        row["fastbp"] = row["fastbp"] | {"median": 5e-6}
        for process in row["processes"]:
            process["fastbp"] *= 5
            process["times_faster"] /= 5
    del new["rows"][0]
    new["rows"].append(a_row(99, [1e-6] * 2, [1.0] * 2))
    text = compare(old, new, tmp_path, capsys)
    row = next(line for line in text.splitlines() if line.startswith("net (n=1), one thread"))
    assert row.split()[-3].startswith("0.2")  # times faster
    assert row.endswith("SLOWER")
    assert text.count("undecided") == ROWS - 2 + 1
    assert "only in the first report: net (n=0) (one)" in text
    assert "only in the second report: net (n=99) (one)" in text
    assert "not the same cpu: a / b" in text
    text = " ".join(text.split())
    assert f"of {ROWS - 1} figures that both reports have, 0 are better in the second and 1" in text
    assert "not taken under the same conditions (cpu)" in text
    assert text.endswith("with `--processes 8`.")


def test_reports_with_nothing_in_common_and_smoke_tests_say_so(tmp_path, capsys):
    rows = [a_row(1, [1e-6] * 2, [1.0] * 2)]
    text = " ".join(compare(a_document(rows), a_document([]), tmp_path, capsys).split())
    assert "nothing to compare" in text
    quick = a_document(copy.deepcopy(rows), quick=True)
    text = " ".join(compare(a_document(rows), quick, tmp_path, capsys).split())
    assert "without `--quick` would tell more" in text
