"""The report: its JSON form, its tables, and the comparison of two reports."""

from __future__ import annotations

import json
import math
from itertools import groupby
from pathlib import Path
from typing import Any

from .console import Console

__all__ = [
    "SCHEMA", "ReportError", "check_writable", "compare", "label", "load", "save", "show",
    "show_environment",
]  # fmt: skip

# Raise it when a reader of older files would misread the new ones.
SCHEMA = 1
KIND = "fastbp-bench"
_KEYS = {"kind", "schema", "environment", "digits", "rows", "notes", "failures"}
_ROW_KEYS = {
    "suite", "name", "title", "params", "threads", "unit", "against", "peer", "checked", "fastbp",
    "other", "ratio", "target", "met", "note",
}  # fmt: skip


class ReportError(Exception):
    """A report cannot be read or written."""


def save(report: dict[str, Any], path: str) -> None:
    """Write a report.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    try:
        Path(path).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error


def check_writable(path: str) -> None:
    """Find out before the work that a report cannot be written; leave a file as it is.

    Raises
    ------
    ReportError
        If the file cannot be opened for writing.
    """
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error


def load(path: str) -> dict[str, Any]:
    """Read a report and check that it is one.

    Raises
    ------
    ReportError
        If the file cannot be read, is not JSON, or is not a report of a schema known here.
    """
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ReportError(f"{path} is not JSON: {error}") from error
    if not isinstance(report, dict) or report.get("kind") != KIND:
        raise ReportError(f"{path} is not a report of {KIND}")
    if report.get("schema") != SCHEMA:
        raise ReportError(
            f"{path} has schema {report.get('schema')!r}, this version reads {SCHEMA}"
        )
    rows = report.get("rows")
    complete = isinstance(rows, list) and all(
        isinstance(row, dict) and _ROW_KEYS <= row.keys() for row in rows
    )
    if not (report.keys() >= _KEYS and complete):
        raise ReportError(f"{path} is not a complete report")
    return report


def quantity(value: float, unit: str) -> str:
    """Write seconds or bytes with three digits and a prefix."""
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    for limit, factor, name in ((1e-6, 1e9, "ns"), (1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{_three(value * factor)} {name}"
    return f"{_three(value)} s"


def _three(value: float) -> str:
    digits = 2 if value <= 0 else 2 - math.floor(math.log10(value))
    return f"{value:.{min(max(digits, 0), 3)}f}"


def speed(row: dict[str, Any]) -> str:
    """Say what the ratio means: the cost against a reference, the gain over a peer."""
    if row["ratio"] is None:
        return "-"
    ratio = row["ratio"]["median"]
    unsure = "~" if row["ratio"]["q3"] - row["ratio"]["q1"] > 0.1 * ratio else ""
    if row["peer"] and row["unit"] == "s":
        return unsure + (
            f"{_three(1 / ratio)}x faster" if ratio < 1 else f"{_three(ratio)}x slower"
        )
    return f"{unsure}{ratio:.2f}x"


def _by_minima(row: dict[str, Any]) -> str:
    exact = {"median": row["ratio"]["of_minima"], "q1": 0.0, "q3": 0.0}
    return speed({**row, "ratio": exact})


def settings(params: dict[str, Any]) -> str:
    """Write parameters; a value that is text stands for itself."""
    return ", ".join(v if isinstance(v, str) else f"{k}={v}" for k, v in params.items())


def label(row: dict[str, Any]) -> str:
    """Name a benchmark and its parameters."""
    return f"{row['name']} ({settings(row['params'])})"


def show(report: dict[str, Any], console: Console) -> None:
    """Write a table for each benchmark, then the notes, what was missed and what failed."""
    columns = ["", "threads", "fastbp", "against", "takes", "fastbp is", "target", "met"]
    for name, group in groupby(report["rows"], key=lambda row: row["name"]):
        rows = list(group)
        filled = [i for i in range(len(columns)) if i < 6 or any(row[i] for row in _cells(rows))]
        cells = [[row[i] for i in filled] for row in _cells(rows)]
        console.table(f"{name}: {rows[0]['title']}", [columns[i] for i in filled], cells)
    notes = [*report["notes"], *(row["note"] for row in report["rows"] if row["note"])]
    for note in dict.fromkeys(notes):
        console.line(f"note: {note}")
    if report["rows"]:
        console.line(
            "every result was checked against an independent reference before it was timed; "
            f"largest relative error {max(row['checked'] for row in report['rows']):.0e}"
        )
    if any(speed(row).startswith("~") for row in report["rows"]):
        console.line(
            "~: quartiles of the ratio more than 10 % apart; measure again on a quiet machine"
        )
    judged = [row for row in report["rows"] if row["met"] is not None]
    if judged:
        console.line(f"targets met: {sum(row['met'] for row in judged)} of {len(judged)}")
    for row in (row for row in judged if not row["met"]):
        console.line(
            f"  missed: {label(row)}, threads: {row['threads']}: {speed(row)} against "
            f"{row['against']}, target {row['target']['text']} "
            f"({_by_minima(row)} by the smallest samples)"
        )
    for failure in report["failures"]:
        console.line(f"CHECK FAILED: {failure}")


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    cells, before = [], None
    for row in rows:
        key = (settings(row["params"]), row["threads"])
        first = (
            key != before
        )  # the figures of fastbp are written once for all that they stand against
        before = key
        met = {True: "yes", False: "NO", None: ""}[row["met"]]
        cells.append([
            key[0] if first else "", key[1] if first else "",
            quantity(row["fastbp"]["median"], row["unit"]) if first else "", row["against"],
            quantity(row["other"]["median"], row["unit"]) if row["other"] else "see note",
            speed(row), row["target"]["text"] if row["target"] else "", met,
        ])  # fmt: skip
    return cells


def show_environment(environment: dict[str, Any], console: Console) -> None:
    """Write what the figures were taken with."""
    versions = ", ".join(
        f"{name} {version}" for name, version in environment["versions"].items() if version
    )
    console.line(f"Python {environment['python']}, {versions}, {environment['numpy_blas']}")
    console.line(f"{environment['cpu']}, {environment['cpus']} CPUs, {environment['system']}")
    loops = ", ".join(environment["numpy_simd"]) or "its baseline"
    console.line(f"instruction sets: {environment['simd']} (fastbp), {loops} (NumPy)")


def compare(old: dict[str, Any], new: dict[str, Any], console: Console) -> None:
    """Write how fastbp's own figures changed from one report to another."""
    after, before = _figures(new), _figures(old)
    rows = []
    for key in [key for key in after if key in before]:
        (unit, a), (_, b) = before[key], after[key]
        ratio = b["median"] / a["median"] if a["median"] else math.inf
        # Beyond the quartiles of both, and by more than a small machine's noise.
        apart = (b["q1"] > a["q3"] or b["q3"] < a["q1"]) and abs(ratio - 1) > 0.05
        verdict = ("slower" if ratio > 1 else "faster") if apart and unit == "s" else ""
        verdict = ("more" if ratio > 1 else "less") if apart and unit == "bytes" else verdict
        cells = [quantity(a["median"], unit), quantity(b["median"], unit), f"{ratio:.2f}x", verdict]
        rows.append([key[0], key[1], *cells])
    console.table(
        "fastbp, before and after", ["benchmark", "threads", "before", "after", "ratio", ""], rows
    )
    for name, figures, others in (("first", before, after), ("second", after, before)):
        if alone := [f"{key[0]} ({key[1]})" for key in figures if key not in others]:
            more = f"; and {len(alone) - 6} more" if len(alone) > 6 else ""
            console.line(f"only in the {name} report: {'; '.join(alone[:6])}{more}")
    for what in ("cpu", "cpus", "simd", "numpy_simd", "versions", "numpy_blas"):
        was, now = old["environment"].get(what), new["environment"].get(what)
        if was != now:
            console.line(f"not the same {what}: {was} / {now}")


def _figures(report: dict[str, Any]) -> dict[tuple[str, str], tuple[str, dict]]:
    return {(label(row), row["threads"]): (row["unit"], row["fastbp"]) for row in report["rows"]}
