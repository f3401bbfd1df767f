"""Reports as pages of HTML: one file without links, scripts or pictures from elsewhere.

The pictures are lines and dots in SVG of our own: a plotting library would be a dependency of every
page, and its pictures know neither dark screens nor narrow ones.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Any

from . import comparison
from . import load as machine
from .report import (
    EXPLAINED,
    KIND,
    conclusion,
    label,
    quantity,
    rough,
    settings,
    target,
    threads,
    times,
)  # fmt: skip

__all__ = ["comparison_page", "report_page"]

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1c2127;--dim:#5c6670;--line:#d5dae0;
--mark:#2166ac;--good:#1a7f37;--bad:#c4262e;--open:#8a6100;--alt:#b3560f}
@media (prefers-color-scheme:dark){:root{--back:#14181d;--text:#e4e8ec;--dim:#9aa5b1;--line:#38414b;
--mark:#6cb0f2;--good:#57c278;--bad:#ff7b78;--open:#e0b040;--alt:#f0a05a}}
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.2rem;background:var(--back);
color:var(--text);font:15px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;margin:.2rem 0}
h2{font-size:1.15rem;margin:2.2rem 0 .4rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.3rem 0 .2rem}p{margin:.4rem 0;max-width:48rem}.dim{color:var(--dim)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.4rem 0}dd{margin:0}
dt{color:var(--dim)}.row{display:grid;grid-template-columns:minmax(12rem,2fr) 3fr
minmax(11.5rem,1fr);gap:0 .8rem;align-items:center;font-size:.87rem}.row>*{overflow-wrap:anywhere}
.row svg{width:100%;height:22px;display:block}.axis svg{height:18px}svg{overflow:visible}
svg text{fill:var(--dim);font:11px system-ui,sans-serif}.grid{stroke:var(--line)}
.one{stroke:var(--dim);stroke-width:1.5}.whisker,.curve{stroke:var(--mark);stroke-width:2;fill:none}
.dot,.bar{fill:var(--mark)}.other{stroke:var(--alt)}.other.dot,.other.bar{fill:var(--alt)}
.band{fill:var(--line);opacity:.6}.met,.faster,.less{color:var(--good)}
.missed,.SLOWER,.MORE{color:var(--bad);font-weight:600}.not{color:var(--open)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));gap:1rem}
figure{margin:0}figcaption{font-size:.85rem}figure svg{width:100%;height:auto}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.8rem}
td,th{padding:.15rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td:last-child{min-width:13rem}td.n{text-align:right;white-space:nowrap}pre{overflow-x:auto;font-size:.75rem}
@media (max-width:40rem){.row{grid-template-columns:1fr;margin:.45rem 0}
dl{grid-template-columns:1fr}dd{margin:0 0 .3rem}}
"""
_READING = (
    "Each line is one ratio: how many times faster (or, of memory, smaller) fastbp is than what it "
    "stands against. The dot is the median, the bar its 99 % interval. Right of the line at 1x "
    "fastbp is faster, left of it slower; the axis is logarithmic, so 2x and 0.5x are equally far "
    "from 1x. Where two bars overlap much, do not call one ratio larger than the other."
)
_AGAINST = (
    '"By hand" is the same derivative written out in NumPy, "forward" the value alone without any '
    'derivative, "raw" calls are what every implementation has to make; torch, jax and autograd '
    "are other libraries. With one thread everybody has one CPU, with default threads as many as "
    "it takes by itself."
)
_COLUMNS = (
    "Low and high are the ends of that interval; rounds is how often both were timed; largest "
    "error is that of fastbp's result, relative to the reference; machine is what else ran "
    "meanwhile."
)


def report_page(report: dict[str, Any], program: str) -> str:
    """Return a report as a page of HTML."""
    rows = report["rows"]
    parts = [
        *(_paragraph(f"CHECK FAILED: {failure}", "missed") for failure in report["failures"]),
        _paragraph(conclusion(report, program)),
    ]
    if report["quick"]:
        parts.append(_paragraph("A smoke test (--quick): its times say little.", "not"))
    parts += [
        "<h2>What was measured, and where</h2>",
        _paragraph(
            "fastbp computes exact derivatives of NumPy code. Each benchmark computes one "
            "derivative with fastbp and with something else: code written by hand, or another "
            "library. Both were checked against an independent reference before they were timed, "
            "then timed in turn, in fresh processes."
        ),
        _environment(report["environment"]),
        _digits(report["digits"]),
    ]
    if rows:
        parts += ["<h2>How many times faster</h2>", _paragraph(_READING), _paragraph(_AGAINST)]
        parts.append(_ratios(rows))
        parts += _scaling(rows)
        parts += _memory(rows)
        parts += ["<h2>Targets</h2>", *_verdicts(rows)]
        parts += ["<h2>All figures</h2>", _paragraph(f"{EXPLAINED} {_COLUMNS}"), _figures(rows)]
    notes = [*report["notes"], *(row["note"] for row in rows if row["note"])]
    parts += [_paragraph(f"Note: {note}", "dim") for note in dict.fromkeys(notes)]
    return _page(f"{KIND}: how fast fastbp is", parts, {"report": report})


def comparison_page(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return the comparison of two reports as a page of HTML."""
    found = comparison.changes(old, new)
    remarks, differ = comparison.remarks(old, new)
    parts = [
        _paragraph(comparison.conclusion(found, differ, old["quick"] or new["quick"])),
        *(_paragraph(text, "not") for text in remarks),
    ]
    if found:
        ends = [value for c in found for value in (c.times, c.told, c.told and 1 / c.told) if value]
        axis = _Axis(ends)
        parts += [
            "<h2>How many times faster the second report is</h2>",
            _paragraph(comparison.EXPLAINED),
            _paragraph(
                "The dot is the factor; inside the grey band it cannot be told from 1. The axis is "
                "logarithmic."
            ),
            axis.row(),
        ]
        for change in found:
            band = "" if change.told is None else axis.band(1 / change.told, change.told)
            unit = change.row["unit"]
            told = f", told from {times(change.told)}" if change.told else ""
            figures = (
                f"{times(change.times)}{told} {_verdict(change.verdict)}<br>"
                f"{quantity(change.before, unit)} → {quantity(change.after, unit)}"
            )
            what = escape(f"{label(change.row)}, {threads(change.row)}")
            parts.append(_row(what, axis.picture(band + axis.dot(change.times)), figures))
    for name, report in (("first", old), ("second", new)):
        parts += [f"<h2>The {name} report</h2>", _environment(report["environment"])]
    return _page(f"{KIND}: two reports compared", parts, {"first": old, "second": new})


def _page(title: str, parts: Iterable[str], data: dict[str, Any]) -> str:
    blocks = [
        f"<details><summary>The {name} as JSON</summary><pre>"
        f"{escape(json.dumps(report, indent=1))}</pre></details>"
        for name, report in data.items()
    ]
    head = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}'
        '</title><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>"
    )
    return "\n".join([head, *parts, "<h2>Raw data</h2>", *blocks, "</body></html>\n"])


def _paragraph(text: str, kind: str = "") -> str:
    written = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return f'<p class="{kind}">{written}</p>' if kind else f"<p>{written}</p>"


def _environment(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in record.get("versions", {}).items() if v)
    facts = {
        "machine": f"{record.get('cpu', '?')}, {record.get('cpus', '?')} CPUs, "
        f"{record.get('system', '?')}",
        "processor level": f"{record.get('simd', '?')} (fastbp), "
        f"{', '.join(record.get('numpy_simd', [])) or 'its baseline'} (NumPy)",
        "versions": f"Python {record.get('python', '?')}, {versions}",
        "NumPy's BLAS": record.get("numpy_blas", "?"),
        "commit": record.get("commit") or "unknown: an installed copy",
    }
    lines = [f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()]
    return f"<dl>{''.join(lines)}</dl>"


def _digits(result: dict[str, Any] | None) -> str:
    if not result:
        return ""
    return _paragraph(
        f"A classifier of handwritten digits was trained in {result['seconds']:.2f} s; it is right "
        f"for {result['test_accuracy']:.1%} of {result['test_images']} images held out."
    )


# ---- ratios ------------------------------------------------------------------------------------


class _Axis:
    """A logarithmic axis of ratios, in per cent of a picture's width."""

    def __init__(self, values: Iterable[float]) -> None:
        positive = [v for v in values if v and v > 0 and math.isfinite(v)]
        self.low = min([0.5, *positive]) / 1.15
        self.high = max([2.0, *positive]) * 1.15
        decades = math.log10(self.high / self.low)
        steps = (1, 2, 5) if decades < 2.2 else (1,)
        self.marks = [
            step * 10.0**k
            for k in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for step in steps
            if self.low <= step * 10.0**k <= self.high
        ]

    def at(self, value: float) -> str:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}%"

    def row(self) -> str:
        texts = "".join(
            f'<text x="{self.at(v)}" y="13" text-anchor="middle">{v:g}x</text>' for v in self.marks
        )
        return f'<div class="row axis"><span></span><svg aria-hidden="true">{texts}</svg></div>'

    def picture(self, drawn: str) -> str:
        lines = "".join(
            f'<line class="{"one" if v == 1 else "grid"}" x1="{self.at(v)}" x2="{self.at(v)}" '
            'y1="0" y2="22"/>'
            for v in self.marks
        )
        return f'<svg role="img">{lines}{drawn}</svg>'

    def dot(self, value: float) -> str:
        return f'<circle class="dot" cx="{self.at(value)}" cy="11" r="4.5"/>'

    def whisker(self, low: float, high: float) -> str:
        ends = "".join(
            f'<line class="whisker" x1="{self.at(v)}" x2="{self.at(v)}" y1="7" y2="15"/>'
            for v in (low, high)
        )
        span = f'<line class="whisker" x1="{self.at(low)}" x2="{self.at(high)}" y1="11" y2="11"/>'
        return span + ends

    def band(self, low: float, high: float) -> str:
        a, b = (float(self.at(v)[:-1]) for v in (low, high))
        return f'<rect class="band" x="{a:.2f}%" width="{b - a:.2f}%" y="2" height="18"/>'


def _row(what: str, picture: str, figures: str) -> str:
    return f'<div class="row"><span>{what}</span>{picture}<span>{figures}</span></div>'


def _verdict(verdict: str | None) -> str:
    return f'<b class="{escape(verdict)}">{escape(verdict)}</b>' if verdict else ""


def _ratios(rows: Sequence[dict[str, Any]]) -> str:
    ratios = [row["times_faster"] for row in rows if row["times_faster"]]
    axis = _Axis(v for ratio in ratios for v in (ratio["low"], ratio["high"], ratio["median"]))
    parts = []
    for name, group in groupby(rows, key=lambda row: row["name"]):
        several = list(group)
        parts += [f"<h3>{escape(name)}: {escape(several[0]['title'])}</h3>", axis.row()]
        for row in several:
            what = (
                f"{escape(settings(row['params']))}, {threads(row)}, "
                f"against <b>{escape(row['against'])}</b>"
            )
            ratio = row["times_faster"]
            if ratio is None:
                parts.append(_row(what, axis.picture(""), "see note"))
                continue
            drawn = axis.whisker(ratio["low"], ratio["high"]) + axis.dot(ratio["median"])
            about = "~" if rough(row) else ""
            figures = (
                f"{about}<b>{times(ratio['median'])}x</b> {times(ratio['low'])} to "
                f"{times(ratio['high'])} {_verdict(row['verdict'])}"
            )
            parts.append(_row(what, axis.picture(drawn), figures))
    if any(rough(row) for row in rows):
        parts.append(_paragraph("~: not steady to 10 %, so a rough figure.", "dim"))
    return "\n".join(parts)


# ---- scaling -----------------------------------------------------------------------------------


def _scaling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Draw times over sizes where a benchmark has at least three of one parameter."""
    curves: dict[tuple[str, ...], list[tuple[float, dict[str, Any]]]] = {}
    for row in rows:
        if row["times_faster"] is None or row["unit"] != "s":
            continue
        for key, size in row["params"].items():
            if isinstance(size, (int, float)) and not isinstance(size, bool) and size > 0:
                rest = settings({k: v for k, v in row["params"].items() if k != key})
                what = (row["name"], rest, key, threads(row), row["against"])
                curves.setdefault(what, []).append((float(size), row))
    figures = [_chart(*what, sorted(points, key=lambda point: point[0]))
               for what, points in curves.items() if len({x for x, _ in points}) >= 3]  # fmt: skip
    if not figures:
        return []
    return [
        "<h2>How time grows with size</h2>",
        _paragraph("Both axes are logarithmic: a straight line is a power of the size."),
        f'<div class="charts">{"".join(figures)}</div>',
    ]


def _chart(
    name: str, rest: str, key: str, limit: str, against: str,
    points: Sequence[tuple[float, dict[str, Any]]],
) -> str:  # fmt: skip
    xs = [x for x, _ in points]
    series = {who: [row[who]["median"] for _, row in points] for who in ("fastbp", "other")}
    every = [v for values in series.values() for v in values]
    left, right, top, low = 52, 348, 8, 176

    def place(v: float, a: float, b: float, start: int, end: int) -> float:
        return start + (end - start) * (math.log(v / a) / math.log(b / a) if b > a else 0.5)

    drawn = []
    written = -math.inf  # where the last number stands
    for x in sorted(set(xs)):
        at = place(x, xs[0], xs[-1], left, right)
        drawn.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{low}"/>')
        if at - written > 30:
            written = at
            drawn.append(f'<text x="{at:.1f}" y="{low + 14}" text-anchor="middle">{x:g}</text>')
    for v in (min(every), max(every)):
        at = place(v, min(every), max(every), low, top)
        drawn.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        drawn.append(f'<text x="{left - 4}" y="{at + 4:.1f}" text-anchor="end">'
                     f"{quantity(v, 's')}</text>")  # fmt: skip
    for who, values in series.items():
        kind = " other" if who == "other" else ""
        at = [
            (place(x, xs[0], xs[-1], left, right), place(v, min(every), max(every), low, top))
            for x, v in zip(xs, values, strict=True)
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        drawn.append(f'<polyline class="curve{kind}" points="{line}"/>')
        drawn += [f'<circle class="dot{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in at]
    title = ", ".join(part for part in (name, rest, limit) if part)
    return (
        f'<figure><figcaption>{escape(title)}: <b style="color:var(--mark)">fastbp</b>, '
        f'<b style="color:var(--alt)">{escape(against)}</b></figcaption>'
        f'<svg viewBox="0 0 360 212" role="img">{"".join(drawn)}'
        f'<text x="{(left + right) / 2}" y="208" text-anchor="middle">{escape(key)}</text>'
        "</svg></figure>"
    )


# ---- memory, targets, figures ------------------------------------------------------------------


def _memory(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Draw bytes of both beside each other."""
    measured = [row for row in rows if row["unit"] == "bytes" and row["times_faster"]]
    if not measured:
        return []
    parts = [
        "<h2>Memory</h2>",
        _paragraph("How many bytes each takes at most; each pair of bars has a scale of its own."),
    ]
    for row in measured:
        a, b = row["fastbp"]["median"], row["other"]["median"]
        most = max(a, b) or 1.0
        bars = (
            f'<rect class="bar" width="{100 * a / most:.2f}%" height="9" y="1"/>'
            f'<rect class="other bar" width="{100 * b / most:.2f}%" height="9" y="12"/>'
        )
        figures = (
            f"fastbp {quantity(a, 'bytes')}<br>{escape(row['against'])} {quantity(b, 'bytes')}"
        )
        parts.append(_row(escape(f"{label(row)}, {threads(row)}"),
                          f'<svg role="img">{bars}</svg>', figures))  # fmt: skip
    return parts


def _verdicts(rows: Sequence[dict[str, Any]]) -> list[str]:
    judged = [row for row in rows if row["verdict"]]
    if not judged:
        return [_paragraph("None of these figures has a target: they are to read.")]
    lines = [
        f"<tr><td>{escape(label(row))}, {threads(row)}, against {escape(row['against'])}</td>"
        f"<td>{escape(target(row))}</td><td>{_verdict(row['verdict'])}</td>"
        f"<td>{escape(row['why'])}</td></tr>"
        for row in judged
    ]
    head = "<tr><th>benchmark</th><th>times faster, target</th><th>verdict</th><th>why</th></tr>"
    return [f'<div class="wide"><table>{head}{"".join(lines)}</table></div>']


def _figures(rows: Sequence[dict[str, Any]]) -> str:
    heads = ("benchmark", "threads", "against", "fastbp", "the other", "times faster", "low",
             "high", "rounds", "largest error", "machine")  # fmt: skip
    lines = []
    for row in rows:
        ratio, other = row["times_faster"], row["other"]
        figures = [times(ratio[key]) for key in ("median", "low", "high")] if ratio else ["-"] * 3
        cells = [
            quantity(row["fastbp"]["median"], row["unit"]) if row["fastbp"] else "-",
            quantity(other["median"], row["unit"]) if other else "-",
            *figures, str(ratio["count"]) if ratio else "-", f"{row['checked']:.0e}",
        ]  # fmt: skip
        lines.append(
            f"<tr><td>{escape(label(row))}</td><td>{threads(row)}</td>"
            f"<td>{escape(row['against'])}</td>"
            + "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
            + f"<td>{escape(machine.describe(row['load']))}</td></tr>"
        )
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
