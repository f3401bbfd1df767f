"""The report: its JSON form, and its tables."""

from __future__ import annotations

import json
import math
from itertools import groupby
from pathlib import Path
from typing import Any

from . import load as machine
from .console import Console
from .evidence import MET, MISSED, NOT_MEASURED, ROUNDS

__all__ = [
    "SCHEMA", "ReportError", "check_writable", "conclusion", "label", "load", "quantity", "rough",
    "save", "settings", "show", "show_environment", "target", "threads", "times", "write",
]  # fmt: skip

# Raise it when a reader of older files would misread the new ones.
SCHEMA = 2
KIND = "fastbp-bench"
_KEYS = {
    "kind", "schema", "environment", "quick", "peers", "digits", "rows", "notes", "failures",
    "seconds",
}  # fmt: skip
_ROW_KEYS = {
    "suite", "name", "title", "params", "threads", "unit", "against", "peer", "checked", "fastbp",
    "other", "times_faster", "processes", "undisturbed", "load", "target", "verdict", "why", "note",
}  # fmt: skip

EXPLAINED = (
    '"times faster" is the time of what fastbp stands against, divided by fastbp\'s: above 1 '
    "fastbp is faster (2: the other takes twice as long), below 1 it is slower (0.5: fastbp takes "
    "twice as long). It is the median of rounds in which both were timed in turn; ± covers its "
    "99 % confidence interval, and the median of every process."
)


class ReportError(Exception):
    """A report cannot be read or written."""


def save(report: dict[str, Any], path: str) -> None:
    """Write a report.

    Raises
    ------
    ReportError
        If the file cannot be written.
    """
    write(json.dumps(report, indent=1) + "\n", path)


def write(text: str, path: str) -> None:
    """Write a file.

    Raises
    ------
    ReportError
        If it cannot be written.
    """
    try:
        Path(path).write_text(text, encoding="utf-8")
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
            return f"{times(value * factor)} {name}"
    return f"{times(value)} s"


def times(value: float) -> str:
    """Write a ratio, or any figure, with three digits."""
    digits = 2 if value <= 0 else 2 - math.floor(math.log10(value))
    return f"{value:.{min(max(digits, 0), 3)}f}"


def rough(row: dict[str, Any]) -> bool:
    """Whether the ratio of a row is not steady, or few samples did not wait for a CPU."""
    ratio = row["times_faster"]
    if ratio is None or row["unit"] == "bytes":
        return False
    return _spread(ratio) > 0.1 or not row["undisturbed"] or ratio["count"] < ROUNDS


def _spread(ratio: dict[str, float]) -> float:
    return max(ratio["high"] / ratio["median"], ratio["median"] / ratio["low"]) - 1


def settings(params: dict[str, Any]) -> str:
    """Write parameters; a value that is text stands for itself."""
    return ", ".join(v if isinstance(v, str) else f"{k}={v}" for k, v in params.items())


def label(row: dict[str, Any]) -> str:
    """Name a benchmark and its parameters."""
    return f"{row['name']} ({settings(row['params'])})"


def threads(row: dict[str, Any]) -> str:
    """Say under which limit of threads a row was measured."""
    return {"one": "one thread", "default": "default threads"}[row["threads"]]


def show(report: dict[str, Any], console: Console) -> None:
    """Write a table for each benchmark, then the notes, what was missed and what failed."""
    rows = report["rows"]
    if rows:
        console.paragraph(EXPLAINED)
        console.line()
    for name, group in groupby(rows, key=lambda row: row["name"]):
        _table(name, list(group), report["quick"], console)
    notes = [*report["notes"], *(row["note"] for row in rows if row["note"])]
    for note in dict.fromkeys(notes):
        console.paragraph(f"note: {note}")
    if rows:
        console.paragraph(
            "every result was checked against an independent reference before it was timed; "
            f"largest relative error {max(row['checked'] for row in rows):.0e}"
        )
    unsteady = [row for row in rows if rough(row)]
    if unsteady and not report["quick"]:
        busiest = machine.worst([row["load"] for row in unsteady])
        console.paragraph(f"~: not steady to 10 %, so a rough figure ({machine.describe(busiest)})")
    for verdict in (MISSED, NOT_MEASURED):
        for row in (row for row in rows if row["verdict"] == verdict):
            console.paragraph(_about(row))
    for failure in report["failures"]:
        console.line(f"CHECK FAILED: {failure}")


def _about(row: dict[str, Any]) -> str:
    where = f"{row['verdict']}: {label(row)}, {threads(row)}, against {row['against']}: "
    if row["verdict"] == NOT_MEASURED:
        return where + f"target {target(row)}; {row['why']}"
    ratio = row["times_faster"]
    return where + (
        f"{times(ratio['median'])} times faster (99 % interval {times(ratio['low'])} to "
        f"{times(ratio['high'])}), target {target(row)}"
    )


def _table(name: str, rows: list[dict[str, Any]], quick: bool, console: Console) -> None:
    ratio = "times faster" if rows[0]["unit"] == "s" else "times less"
    columns = ["fastbp / against", "takes", ratio, "target", ""]
    cells = []
    for (case, limit), group in groupby(rows, lambda row: (settings(row["params"]), threads(row))):
        # Figures of fastbp differ by the rounds in which the other did not wait: the first's do.
        several = list(group)
        cells.append([f"{case}, {limit}", _takes(several[0], "fastbp"), "", "", ""])
        cells += [[f"  {row['against']}", *_figures(row, quick)] for row in several]
    if not any(row["target"] for row in rows):
        columns, cells = columns[:3], [row[:3] for row in cells]
    console.table(f"{name}: {rows[0]['title']}", columns, cells)


def _takes(row: dict[str, Any], who: str) -> str:
    return quantity(row[who]["median"], row["unit"])


def _figures(row: dict[str, Any], quick: bool) -> list[str]:
    ratio = row["times_faster"]
    wanted = target(row) if row["target"] else ""
    if ratio is None:
        return ["see note", "-", wanted, ""]
    told = not quick and row["unit"] == "s" and ratio["count"] >= ROUNDS
    spread = f" ±{_spread(ratio):.0%}" if told else ""
    mark = "~" if rough(row) and not quick else ""
    verdict = row["verdict"] or ""
    return [
        _takes(row, "other"), f"{mark}{times(ratio['median'])}{spread}", wanted,
        "MISSED" if verdict == MISSED else verdict,
    ]  # fmt: skip


def target(row: dict[str, Any]) -> str:
    """Write the least ratio that a row must reach."""
    text = row["target"]["text"]
    return f">= {row['target']['at_least']:.3g}" + (f" ({text})" if text else "")


def conclusion(report: dict[str, Any], begin: str) -> str:
    """Say in one sentence what was found, what it means, and what to run next; `begin` is how."""
    rows = report["rows"]
    if report["failures"]:
        return (
            "Something is wrong: a check failed (see CHECK FAILED above), so do not trust this "
            f"installation, and report it with the file that `{begin} --json report.json` writes."
        )
    trained = "a classifier of handwritten digits was trained and " if report["digits"] else ""
    settled = _several(len({(label(row), row["threads"]) for row in rows}), "benchmark")
    if not rows:
        return f"All is well: {trained}its gradients are right; next, `{begin}` measures speed."
    right = "every gradient agreed with its reference"
    if report["quick"]:
        return (
            f"All is well: {trained}{settled} ran and {right}, but this was a smoke "
            f"test whose times say little; next, `{begin}` measures how fast fastbp is."
        )
    against = list(dict.fromkeys(row["against"] for row in rows if row["times_faster"]))
    others = ", ".join(against[:4])
    others += f" and {len(against) - 4} more" if len(against) > 4 else ""
    return (
        f"In short: {trained}{settled} timed fastbp against {others}, after {right}; "
        f"{_targets(rows)}; next, {_next(report, begin)}."
    )


def _several(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _targets(rows: list[dict[str, Any]]) -> str:
    count = {v: sum(row["verdict"] == v for row in rows) for v in (MET, MISSED, NOT_MEASURED)}
    total = sum(count.values())
    if not total:
        return "none of this has a target, so these are figures to read, not to pass or fail"
    text = f"of {_several(total, 'target')} for its speed {count[MET]} met"
    text += f", {count[MISSED]} missed, {count[NOT_MEASURED]} not measured"
    if count[MISSED]:
        return text + ", so on this machine fastbp is slower than promised where MISSED stands"
    if count[NOT_MEASURED]:
        load = machine.worst([r["load"] for r in rows if r["verdict"] == NOT_MEASURED])
        why = "their samples scatter" if machine.is_quiet(load) else machine.describe(load)
        return f"{text} ({why}), so nothing speaks against the promised speed, but not all is shown"
    return text + ", so fastbp is as fast here as promised"


def _next(report: dict[str, Any], begin: str) -> str:
    def suites(verdict: str) -> str:
        return ",".join(
            dict.fromkeys(r["suite"] for r in report["rows"] if r["verdict"] == verdict)
        )

    if missed := suites(MISSED):
        return (
            f"run `{begin} --suite {missed} --json report.json` again, and if it misses again "
            "report it with that file"
        )
    if missing := suites(NOT_MEASURED):
        return f"run `{begin} --suite {missing}` again while no other program is busy"
    if not report["peers"]:
        return (
            f"`{begin} --peers` compares with PyTorch, JAX and autograd where they are installed, "
            f"and `{begin} list` shows what else can be measured"
        )
    return f"`{begin} list` shows what else can be measured"


def show_environment(environment: dict[str, Any], console: Console) -> None:
    """Write what the figures were taken with."""
    versions = ", ".join(
        f"{name} {version}" for name, version in environment["versions"].items() if version
    )
    console.paragraph(f"Python {environment['python']}, {versions}, {environment['numpy_blas']}")
    console.paragraph(f"{environment['cpu']}, {environment['cpus']} CPUs, {environment['system']}")
    loops = ", ".join(environment["numpy_simd"]) or "its baseline"
    console.paragraph(f"instruction sets: {environment['simd']} (fastbp), {loops} (NumPy)")
