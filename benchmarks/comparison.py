"""The comparison of two reports: what changed by more than two runs of the same code differ."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .console import Console
from .report import label, quantity, threads, times

__all__ = ["Change", "changes", "compare", "conclusion", "remarks"]

# The least change that is called one: a processor's clock and the place of code in memory make as
# much between two days or two builds, and no report can show that of itself.
FLOOR = 0.05
# Standard errors that a change must exceed: one false call in some thousand rows.
ERRORS = 4.0
# Fewer processes on either side do not show how much one differs from the next.
PROCESSES = 2
EXPLAINED = (
    '"times faster" is the time in the first report divided by that in the second: above 1 the '
    'second is faster. "told from 1" is the least such factor that counts as a change: it exceeds '
    "what processes of these reports differ by, in the time of fastbp itself and in its ratio to "
    "what it stands against, which shows whether it was the machine that changed."
)


@dataclass(frozen=True)
class Change:
    """How a cost of fastbp changed, and by how much it must to be called a change."""

    row: dict[str, Any]
    before: float
    after: float
    told: (
        float | None
    )  # the least factor that can be told from 1; None if there are too few samples
    verdict: str

    @property
    def times(self) -> float:
        """How many times faster, or less, the second report is."""
        return self.before / self.after


Case = tuple[str, str]
Rows = dict[str, dict[str, Any]]  # by what fastbp stands against


def _cases(report: dict[str, Any]) -> dict[Case, Rows]:
    cases: dict[Case, Rows] = {}
    for row in report["rows"]:
        cases.setdefault((label(row), row["threads"]), {})[row["against"]] = row
    return cases


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Judge every benchmark that both reports have."""
    before, after = _cases(old), _cases(new)
    typical = {
        (limit, key): _typical([*_groups(old, limit, key), *_groups(new, limit, key)])
        for limit in {limit for _, limit in before}
        for key in ("fastbp", "times_faster")
    }
    return [_change(before[case], after[case], typical) for case in after if case in before]


def _groups(report: dict[str, Any], limit: str, key: str) -> list[list[float]]:
    """Return the logarithms of a figure, process by process, for each row that has several."""
    rows = [row for row in report["rows"] if row["threads"] == limit and row["unit"] == "s"]
    groups = [_logs(row, key) for row in rows]
    return [group for group in groups if len(group) >= PROCESSES]


def _logs(row: dict[str, Any], key: str) -> list[float]:
    if row["times_faster"] is None and key == "times_faster":
        return []
    return [math.log(process[key]) for process in row["processes"]]


def _typical(groups: Sequence[Sequence[float]]) -> float:
    """Return the deviation between processes that half of the rows exceed.

    Two processes say next to nothing of their own row; many rows together do.
    """
    return statistics.median(map(statistics.stdev, groups)) / 0.67 if groups else math.inf


def _change(before: Rows, after: Rows, typical: dict[tuple[str, str], float]) -> Change:
    first, last = next(iter(before.values())), next(iter(after.values()))
    a, b = first["fastbp"]["median"], last["fastbp"]["median"]
    if last["unit"] == "bytes":
        apart = abs(math.log(a / b)) > FLOOR
        return Change(last, a, b, 1 + FLOOR, ("less" if a > b else "MORE") if apart else "")
    tests = [_test(first, last, "fastbp", typical)]
    # What fastbp stands against is the control: where it changed as much, the machine did.
    tests += [
        _test(before[other], after[other], "times_faster", typical)
        for other in after
        if other in before and after[other]["times_faster"] and before[other]["times_faster"]
    ]
    told = max(least for _, least in tests)
    if not all(row["undisturbed"] for row in (first, last)) or math.isinf(told):
        return Change(last, a, b, None, "undecided")
    if all(shift > least for shift, least in tests):
        verdict = "faster"
    elif all(shift < -least for shift, least in tests):
        verdict = "SLOWER"
    else:
        verdict = "undecided"
    return Change(last, a, b, math.exp(told), verdict)


def _test(
    before: dict[str, Any], after: dict[str, Any], key: str,
    typical: dict[tuple[str, str], float],
) -> tuple[float, float]:  # fmt: skip
    """Return by how much the logarithm of a figure became better, and the least that counts."""
    a, b = _logs(before, key), _logs(after, key)
    if min(len(a), len(b)) < PROCESSES:
        return 0.0, math.inf
    shift = statistics.median(b) - statistics.median(a)
    deviation = max(statistics.stdev(a), statistics.stdev(b), typical[after["threads"], key])
    least = max(FLOOR, ERRORS * deviation * math.sqrt(1 / len(a) + 1 / len(b)))
    return (shift if key == "times_faster" else -shift), least


def compare(old: dict[str, Any], new: dict[str, Any], console: Console) -> None:
    """Write how fastbp's own figures changed from one report to another, and a conclusion."""
    found = changes(old, new)
    if found:
        _table(found, console)
    texts, differ = remarks(old, new)
    for text in texts:
        console.paragraph(text)
    console.line()
    console.paragraph(conclusion(found, differ, old["quick"] or new["quick"]))


def remarks(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Say what only one of two reports has, and name the conditions in which they differ."""
    before, after = _cases(old), _cases(new)
    texts, differ = [], []
    for name, figures, others in (("first", before, after), ("second", after, before)):
        if alone := [f"{key[0]} ({key[1]})" for key in figures if key not in others]:
            more = f"; and {len(alone) - 6} more" if len(alone) > 6 else ""
            texts.append(f"only in the {name} report: {'; '.join(alone[:6])}{more}")
    for what in ("cpu", "cpus", "simd", "numpy_simd", "versions", "numpy_blas"):
        was, now = old["environment"].get(what), new["environment"].get(what)
        if was != now:
            texts.append(f"not the same {what}: {was} / {now}")
            differ.append(what)
    return texts, differ


def _table(found: Iterable[Change], console: Console) -> None:
    console.paragraph(EXPLAINED)
    console.line()
    rows = [
        [
            f"{label(change.row)}, {threads(change.row)}",
            quantity(change.before, change.row["unit"]), quantity(change.after, change.row["unit"]),
            times(change.times), f"{times(change.told)}" if change.told else "-", change.verdict,
        ]
        for change in found
    ]  # fmt: skip
    columns = ["fastbp", "before", "after", "times faster", "told from 1", ""]
    console.table("fastbp, before and after", columns, rows)


def conclusion(found: Sequence[Change], differ: Sequence[str], quick: bool) -> str:
    """Say in one sentence what changed, and what would decide the rest."""
    if not found:
        return "In short: the reports have no benchmark in common, so there is nothing to compare."
    better = sum(change.verdict in ("faster", "less") for change in found)
    worse = sum(change.verdict in ("SLOWER", "MORE") for change in found)
    undecided = sum(change.verdict == "undecided" for change in found)
    told = sorted(change.told for change in found if change.told and change.row["unit"] == "s")
    spread = f" (here a factor of {times(told[0])} to {times(told[-1])})" if told else ""
    text = (
        f"In short: of {len(found)} figures that both reports have, {better} are better in the "
        f"second and {worse} worse by more than runs of the same code differ{spread}"
    )
    if differ:
        text += f", but they were not taken under the same conditions ({', '.join(differ)})"
    if not undecided:
        return text + "."
    text += f"; {undecided} are undecided, which does not mean that they are equal: "
    if quick:
        return text + "reports written without `--quick` would tell more."
    return text + (
        "to tell smaller changes, write both reports again, one after the other and while no other "
        "program is busy, with `--processes 8`."
    )
