"""The reference page of the table: ``python -m fastbp.rules.reference > docs/operations.md``."""

import inspect

from fastbp._core.graph import Op, implementation_of
from fastbp.rules.special import unwrapped as special
from fastbp.rules.table import FUNCTIONS, OPS, load_all

__all__ = ["page"]

HEAD = """# Operations

Everything that is recorded on Variables. Made from the table in `fastbp/rules/` by
`python -m fastbp.rules.reference > docs/operations.md`; a test compares the two.
Not listed: NumPy functions that are constant almost everywhere (`argmax`, `floor`, `sign`, ...),
which see the values ([not_differentiable.md](not_differentiable.md)), and functions that make
arrays of numbers (`zeros`, `eye`, `arange`, `r_` ...): from `fastbp.numpy` they make, inside of
recorded functions, such as recorded values can be written into.
"""

ELEMENTWISE = """## Elementwise

The errors are bounds, relative to the derivative itself, in float64 and over the whole range of the
arguments, from 1e-300 to 1e300 where the function has no smaller domain (float32: the same number
of units in the last place). `tests/rules/test_precision.py` holds them against mpmath, and
derivatives of order three against 1e-11; `tests/rules/test_special_points.py` has singular points
to order five. Bounds far above 1e-15 are conditions: of `exp(-x * x)` for large x, of an inverse
where it is steep. What is smaller than a normal number has no relative error. `power` is infinite
where `x**(y - k)` is, at order k.
"""

SPECIAL = """
## Of `scipy.special`

Ufuncs, recorded when they are applied from `scipy.special` itself or from `fastbp.scipy.special`.
Those in the list below are no ufuncs of one real result, and many do not look at their arguments
(`logsumexp`, `polygamma`, `lambertw`): take them from `fastbp.scipy.special`.

*Where* is the range of the operands in which the bounds hold; without one it is the whole range.
Against mpmath: `tests/rules/special/test_reach.py`. By operands in the last column there is no
derivative: asking for it raises `NoRuleError`. float32 is kept, also where SciPy has a loop in
double precision only.
"""

TABLE = """| name | at singular points | error, order 1 | order 2 |
|---|---|---|---|"""

RANGED = """| name | at singular points | error, order 1 | order 2 | where | not by |
|---|---|---|---|---|---|"""

OTHERS = """## Other functions

Names of `fastbp.numpy`, and behind `fastbp.` of other modules.

| name | |
|---|---|"""

ROWS = """## Rows behind these functions

What is recorded. *Depends on* is its pattern (`fastbp/rules/patterns.py`); *tensor* says how its
derivative is written with deltas and few factors (`fastbp/rules/local.py`), where it has that form.

| operation | depends on | tensor | its VJP, from the cotangent g |
|---|---|---|---|"""

HELPERS = """Elementwise operations of the engine, and those that partials are made of:"""

GILES = """Giles 2008: M. B. Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation", in Advances in Automatic Differentiation, Springer, 2008."""


def page():
    """Return the page as Markdown."""
    load_all()
    theirs = {name: implementation_of(getattr(special, name)) for name in special.__all__}
    theirs = {name: op for name, op in theirs.items() if isinstance(op, Op)}
    ours = {name: op for name, op in OPS.items() if op.info.get("namespace") == "numpy"}
    lines = [HEAD, ELEMENTWISE, TABLE, *_rows(ours), SPECIAL, RANGED]
    lines += [f"{row} {_where(theirs[row.split('`')[1]])} |" for row in _rows(theirs)]
    lines += ["", OTHERS]
    for name, f in sorted(FUNCTIONS.items()):
        if not isinstance(f, Op):
            lines.append(f"| `{name}` | {_first_line(f)} |")
    lines += ["", ROWS]
    for name, op in sorted(OPS.items()):
        if op.partials is None:
            local = op.info["local"]
            facts = _name(op.pattern), _name(local) if local else ""
            lines.append(f"| `{name}` | {' | '.join((*facts, _direct(op)))} |")
    helpers = [op for op in OPS.values() if op.partials and "namespace" not in op.info]
    lines += ["", HELPERS, ", ".join(sorted(f"`{op.name}`" for op in helpers)) + "."]
    lines += ["", "## Sources of formulas", ""]
    sources = {op.name: op.info["source"] for op in OPS.values() if op.info.get("source")}
    lines += [f"* `{name}`: {source}" for name, source in sorted(sources.items())]
    lines += ["", GILES]
    return "\n".join(lines) + "\n"


def _rows(ops):
    return [
        f"| `{name}` | {op.info['kinks']} | {_errors(op)} |" for name, op in sorted(ops.items())
    ]


def _where(op):
    reach = op.info.get("reach") or ()
    pairs = reach if reach and isinstance(reach[0], tuple) else (reach,) if reach else ()
    where = " by ".join(f"[{low:g}, {high:g}]" for low, high in pairs)
    refused = [op.partials[k].argument for k in op.info.get("orders", ())]
    return f"{where} | {', '.join(f'`{name}`' for name in refused)}"


def _errors(op):
    first, second = (f"{bound:.0e}".replace("e-0", "e-") for bound in op.info["error"])
    return f"{first} | {second}"


def _name(rule):
    if isinstance(rule, tuple):  # one for each output
        return ", ".join(map(_name, rule))
    return getattr(rule, "func", rule).__name__.strip("_").replace("_", " ")


def _direct(op):
    return ", ".join(f"`{rule}`" for rule in op.info["direct"])


def _first_line(f):
    return (inspect.getdoc(f) or "").split("\n", 1)[0]


if __name__ == "__main__":
    print(page(), end="")
