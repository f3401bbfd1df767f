"""Pages of HTML: every figure, nothing from elsewhere, names as they are."""

import copy
import json
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from fastbp.benchmarks import cli, page, report

VOID = {"meta", "line", "circle", "rect", "polyline", "br"}
NASTY = '<script>alert("1 & 2")</script>'


def a_row(n, median=2.0, **changes):
    ratio = {"median": median, "low": median * 0.9, "high": median * 1.2, "min": 1.0, "count": 24}
    processes = [{"fastbp": 1e-6 * n, "times_faster": median * k, "rounds": 12, "quiet": True}
                 for k in (0.99, 1.01)]  # fmt: skip
    load = {"cpus": 2, "average": 0.1, "others": 0.02, "stolen": 0.0, "programs": []}
    return {
        "suite": "mlp", "name": "net", "title": "A net.", "params": {"n": n}, "threads": "one",
        "unit": "s", "against": "NumPy", "peer": False, "checked": 3e-15,
        "fastbp": {"median": 1e-6 * n, "min": 1e-6, "count": 24},
        "other": {"median": 1e-6 * n * median, "min": 1e-6, "count": 24}, "times_faster": ratio,
        "processes": processes, "undisturbed": True, "load": load, "target": None, "verdict": None,
        "why": "", "note": None, **changes,
    }  # fmt: skip


def a_report(rows, **changes):
    environment = {
        "python": "3.11.9", "system": "Linux x86_64", "cpu": "A & B CPU", "cpus": 2, "simd": "avx2",
        "numpy_simd": ["AVX2", "FMA3"], "versions": {"fastbp": "0.1", "numpy": "2.4", "jax": None},
        "numpy_blas": "openblas 0.3", "commit": "abc1234",
    }  # fmt: skip
    return {
        "kind": report.KIND, "schema": report.SCHEMA, "quick": False, "peers": [], "digits": None,
        "environment": environment, "rows": rows, "notes": [], "failures": [], "seconds": {},
        **changes,
    }  # fmt: skip


ROWS = [
    *[a_row(n, m) for n, m in ((10, 0.5), (100, 2.0), (1000, 8.0))],
    a_row(10, 3.0, against="JAX", peer=True, verdict="met", target={"at_least": 1.5, "text": ""}),
    a_row(5, 4.0, name="memory", unit="bytes", against="dense",
          fastbp={"median": 2e6}, other={"median": 8e6}),
    a_row(7, name="empty", times_faster=None, other=None, note="JAX is not installed"),
    a_row(9, 0.7, verdict="not measured", target={"at_least": 1.0, "text": "as fast"}, why="busy"),
]  # fmt: skip


class Parsed(HTMLParser):
    """Elements in order with their attributes; fails where they are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag, kind=None):
        found = [attrs for name, attrs in self.elements if name == tag]
        return [a for a in found if kind is None or kind in a.get("class", "").split()]


def text_of(page):
    return unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S)))


def test_every_ratio_is_a_dot_with_whiskers_on_a_logarithmic_axis():
    rows = ROWS[:3]
    parsed = Parsed(page.report_page(a_report(rows), "fastbp-bench"))
    dots = [c for c in parsed.of("circle", "dot") if c["cx"].endswith("%")]
    at = [float(c["cx"][:-1]) for c in dots]
    assert len(at) == 3
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.02)  # 0.5, 2, 8: equal factors
    ones = {float(line["x1"][:-1]) for line in parsed.of("line", "one")}
    (one,) = ones
    assert one == pytest.approx((at[0] + at[1]) / 2, abs=0.02)
    spans = [w for w in parsed.of("line", "whisker") if w["x1"] != w["x2"]]
    for span, middle in zip(spans, at, strict=True):
        assert float(span["x1"][:-1]) < middle < float(span["x2"][:-1])


def test_times_over_sizes_and_bytes_have_pictures():
    parsed = Parsed(page.report_page(a_report(ROWS), "fastbp-bench"))
    curves = parsed.of("polyline", "curve")
    assert len(curves) == 2
    assert all(len(curve["points"].split()) == 4 for curve in curves)
    own, other = (float(bar["width"][:-1]) for bar in parsed.of("rect", "bar"))
    assert (own, other) == (25.0, 100.0)


def test_no_sizes_and_no_bytes_have_none():
    text = page.report_page(a_report(ROWS[:2]), "fastbp-bench")
    assert "How time grows" not in text
    assert "<h2>Memory" not in text
    assert "to read" in page.report_page(a_report([]) | {"rows": ROWS[:1]}, "fastbp-bench")
    Parsed(page.report_page(a_report([]), "fastbp-bench"))


def test_every_figure_of_the_report_is_in_the_page():
    made = a_report(ROWS, notes=["a note"], failures=["a failure"])
    text = page.report_page(made, "fastbp-bench")
    block = re.search(r"as JSON</summary><pre>(.*?)</pre>", text, re.S).group(1)
    assert json.loads(unescape(block)) == made
    shown = text_of(text[: text.index("<h2>Raw data")])
    for row in ROWS:
        assert report.label(row) in shown
        ratio = row["times_faster"]
        for figure in (ratio["median"], ratio["low"], ratio["high"]) if ratio else ():
            assert report.times(figure) in shown
        assert report.quantity(row["fastbp"]["median"], row["unit"]) in shown
    for fact in ("A & B CPU", "2 CPUs", "avx2", "AVX2, FMA3", "3.11.9", "numpy 2.4", "openblas 0.3",
                 "abc1234", "a note", "CHECK FAILED: a failure", "JAX is not installed", "busy",
                 ">= 1 (as fast)", "not measured"):  # fmt: skip
        assert fact in shown


def test_names_are_shown_as_they_are():
    row = a_row(10, title=NASTY, name=NASTY, against=NASTY, params={NASTY: NASTY}, note=NASTY,
                why=NASTY, verdict="missed", target={"at_least": 1.0, "text": NASTY})  # fmt: skip
    made = a_report([row] * 3, notes=[NASTY], failures=[NASTY])
    made["environment"]["cpu"] = NASTY
    for text in (page.report_page(made, "fastbp-bench"), page.comparison_page(made, made)):
        assert not Parsed(text).of("script")
        assert NASTY in text_of(text)


@pytest.mark.parametrize("compared", [False, True])
def test_nothing_is_taken_from_elsewhere(compared):
    made = a_report(ROWS)
    text = page.comparison_page(made, made) if compared else page.report_page(made, "fastbp-bench")
    parsed = Parsed(text)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", text)
    for tag, attrs in parsed.elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "use", "image"}
        assert not {"src", "href", "srcset", "onload"} & attrs.keys()
    assert "prefers-color-scheme:dark" in text
    assert any(meta.get("name") == "viewport" for meta in parsed.of("meta"))


def test_a_comparison_shows_factors_and_what_cannot_be_told_from_one():
    old = a_report([a_row(n) for n in (10, 100)])
    new = copy.deepcopy(old)
    for row in new["rows"]:
        row["fastbp"]["median"] /= 2
        row["times_faster"]["median"] *= 2
        for process in row["processes"]:
            process["fastbp"] /= 2
            process["times_faster"] *= 2
    text = page.comparison_page(old, new)
    parsed = Parsed(text)
    dots = parsed.of("circle", "dot")
    bands = parsed.of("rect", "band")
    assert len(dots) == len(bands) == 2
    for dot, band in zip(dots, bands, strict=True):
        assert float(dot["cx"][:-1]) > float(band["x"][:-1]) + float(band["width"][:-1])
    assert len(parsed.of("b", "faster")) == 2
    new["environment"]["simd"] = "avx512"
    assert "not the same simd: avx2 / avx512" in text_of(page.comparison_page(old, new))


def test_the_command_writes_both(tmp_path, capsys):
    a, b, out = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "out.html"
    for path in (a, b):
        report.save(a_report(ROWS), str(path))
    for argv in (["compare", str(a), str(b), "--html", str(out)],
                 ["--html", str(out), "compare", str(a), str(b)]):  # fmt: skip
        assert cli.main(argv) == 0
        assert "page written to" in capsys.readouterr().out
        Parsed(out.read_text(encoding="utf-8"))
        out.unlink()
    assert cli.main(["compare", str(a), str(b)]) == 0
    assert cli.main(["compare", str(a), str(b), "--html", str(tmp_path / "no" / "x")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert cli.main(["--suite", "digits", "--quick", "--html", str(out)]) == 0
    assert "handwritten digits" in out.read_text(encoding="utf-8")
    assert cli.main(["--suite", "digits", "--quick", "--html", str(tmp_path)]) == 2
