"""The reference page of the table: ``python -m fastbp.rules.reference > docs/operations.md``."""

import inspect

from fastbp._core.graph import Op
from fastbp.rules.table import FUNCTIONS, OPS

__all__ = ["page"]

HEAD = """# Operations

Everything that is recorded on Variables. Made from the table in `fastbp/rules/` by
`python -m fastbp.rules.reference > docs/operations.md`; a test compares the two.
Not listed: NumPy functions that are constant almost everywhere (`argmax`, `floor`, `sign`, ...),
which see the values.
"""

GILES = """Giles 2008: M. B. Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation", in Advances in Automatic Differentiation, Springer, 2008."""


def page():
    """Return the page as Markdown."""
    rows = [op for op in OPS.values() if op.partials is not None and op.name in FUNCTIONS]
    lines = [
        HEAD,
        "## Elementwise",
        "",
        "| name | at singular points |",
        "|---|---|",
    ]
    lines += [
        f"| `{op.name}` | {op.info['kinks']} |" for op in sorted(rows, key=lambda op: op.name)
    ]
    lines += ["", "## Other functions", "", "| name | |", "|---|---|"]
    for name, f in sorted(FUNCTIONS.items()):
        if not isinstance(f, Op):
            lines.append(f"| `{name}` | {_first_line(f)} |")
    lines += ["", "## Sources of formulas", ""]
    sources = {op.name: op.info["source"] for op in OPS.values() if op.info.get("source")}
    lines += [f"* `{name}`: {source}" for name, source in sorted(sources.items())]
    lines += ["", GILES]
    return "\n".join(lines) + "\n"


def _first_line(f):
    return (inspect.getdoc(f) or "").split("\n", 1)[0]


if __name__ == "__main__":
    print(page(), end="")
