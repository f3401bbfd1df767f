"""The page of what has no derivative: ``python -m fastbp.rules.gaps > docs/not_differentiable.md``.

Made from the tables that decide it: constants, kinks, refusals, and NumPy's own list of functions.
"""

import ast
import importlib
import re

import numpy as np
import scipy

from fastbp._core.graph import implementation_of
from fastbp.rules import refusals, table
from fastbp.rules.table import CONSTANTS, CREATORS, OPS, REFUSED, load_all

__all__ = ["NUMPY", "code_in", "instead", "page", "without_rule"]

NUMPY = "2.4"  # the version whose functions the page lists

HEAD = """# What is not differentiable

Made from the tables in `fastbp/rules/` by `python -m fastbp.rules.gaps >
docs/not_differentiable.md`; tests compare the two, and run the lines that are recommended. What can
be differentiated is listed in [operations.md](operations.md). Wherever a derivative would be lost,
fastbp raises `NoRuleError`, whose message names the function and the line to write instead: this
page is for reading ahead.
"""

CONSTANT = """## Derivative zero

These see the values of recorded arrays and return plain arrays or numbers: their derivative is zero
almost everywhere, so nothing is lost. Comparisons (`x > 0`, `x == y`, `bool(x)`, `if x > 0:`),
`x // y`, `round(x)`, `math.floor(x)`, `len(x)` and `x.shape` do the same. A derivative flows
through what is *chosen* by them: `x[np.argmax(x)]`, `x * (x > 0)`, `np.where(x > 0, x, 0)`, and
through the branch of an `if` that was taken.

| | |
|---|---|"""

DELIBERATE = """
`x.value`, `x.item()` and `bp.stop_gradient(x)` leave the record on purpose: what is computed from
them counts as a constant.
"""

KINKS = """## Kinks

Differentiable but for single points, where one of the possible slopes is taken:

| | there |
|---|---|"""

INSTEAD = """## Write instead

Functions that take no recorded value, and what does the same. `numpy` and `fastbp` are the modules
(`np`, `bp`); a line after `;` uses the names before it.

| function | write |
|---|---|"""

COUNTERPARTS = """
Not told of recorded values, but with a counterpart of the same name that is:

| from | write | for |
|---|---|---|"""

MISSING = """## No rule yet

These raise `NoRuleError`. With a formula for the derivative, `bp.custom_rule(f, vjp=...)` gives
them one ([tutorial.md](tutorial.md#functions-without-a-rule)); on constants they work as always.
"""

SCIPY_MISSING = """* of SciPy: everything but what `fastbp.scipy` has, functions of `scipy.special`
  in [operations.md](operations.md), and sparse matrices as operands
  ([sparse.md](sparse.md))

Some functions have rules without some of their arguments (`out=`, `initial=`, the nuclear norm):
[operations.md](operations.md) says which.

## Other numbers

Derivatives are of float64, float32, complex128 and complex64. float16, longdouble, object arrays,
masked arrays and `numpy.matrix` raise `DTypeError`. An array of integers takes no recorded value:
write `np.zeros(3)`, not `np.zeros(3, int)`.
"""

# What has arguments that are no floats: dates, bits, files, places.
_OF_OTHERS = (
    "busday_count busday_offset datetime_as_string einsum_path is_busday ix_ packbits "
    "ravel_multi_index savez savez_compressed unpackbits unravel_index"
).split()


def page():
    """Return the page as Markdown."""
    load_all()
    groups = {}
    for name, why in CONSTANTS.items():
        groups.setdefault(why, []).append(f"`{name}`")
    lines = [HEAD, CONSTANT]
    lines += [f"| {why} | {', '.join(sorted(names))} |" for why, names in groups.items()]
    lines += [DELIBERATE, KINKS]
    kinks = {}
    for name, text in sorted(_kinks()):
        kinks.setdefault(text, []).append(f"`{name}`")
    lines += [f"| {', '.join(names)} | {text} |" for text, names in kinks.items()]
    lines += ["", INSTEAD]
    lines += [f"| `{name}` | {instead(name)} |" for name in sorted(refusals.INSTEAD)]
    lines += [COUNTERPARTS, *_counterparts(), "", MISSING]
    for name, names in without_rule().items():
        lines.append(f"* of `{name}` {NUMPY}: {', '.join(f'`{n}`' for n in names)}")
    lines += [f"* `{name}`: {why}" for name, why in sorted(REFUSED.items())]
    lines.append(SCIPY_MISSING)
    return "\n".join(lines)


def _kinks():
    """Return pairs of a public name and the convention at its kinks."""
    rows = [op for op in OPS.values() if op.info.get("namespace") and op.info["kinks"]]
    return [*[(op.name, op.info["kinks"]) for op in rows], *table.KINKS.items()]


def instead(name):
    """Return what to write in place of a function as Markdown for a cell of a table."""
    text = refusals.INSTEAD[name]
    return (text if "`" in text or not _is_python(text) else f"`{text}`").replace("|", "\\|")


def code_in(name):
    """Return the lines of Python that stand for a function, in the order in which it has them."""
    text = refusals.INSTEAD[name]
    return [text] if _is_python(text) else re.findall("`([^`]*)`", text)


def _is_python(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def _counterparts():
    rows = [
        f"| `scipy.{module}` | `fastbp.scipy.{module}` | {', '.join(f'`{n}`' for n in names)} |"
        for module, names in _namespaces().items()
    ]
    return [
        *rows,
        "| `scipy.sparse` | `fastbp.sparse.csr(values, ...)` | matrices with recorded values |",
        "| `scipy.sparse.linalg` | `fastbp.sparse.solve(A, b)` | systems |",
        "| `math` | `numpy` | `sin`, `exp`, `sqrt` ... |",
    ]


def _namespaces():
    """Return what is public in each module of `fastbp.scipy`, and no ufunc."""
    ours = importlib.import_module("fastbp.scipy")
    return {
        module: [
            name
            for name in sorted(getattr(ours, module).__all__)
            if not isinstance(getattr(getattr(scipy, module), name), np.ufunc)
            and f"scipy.{module}.{name}" not in {**CONSTANTS, **REFUSED}
        ]
        for module in ours.__all__
    }


def without_rule():
    """Return the names of NumPy's functions of floats that have no rule, by module."""
    listed = {name.removesuffix(".at").removesuffix(".reduce") for name in refusals.INSTEAD}
    found = {}
    for module in (np, np.linalg, np.fft):
        known = vars(module).items()
        found[module.__name__] = [
            name
            for name, f in sorted(known)
            if _takes_floats(f)
            and implementation_of(f) is None
            and name not in CREATORS
            and name not in _OF_OTHERS
            and f"{module.__name__}.{name}" not in listed
        ]
    return found


def _takes_floats(f):
    if isinstance(f, np.ufunc):
        return any(types.startswith("d") for types in f.types)
    return hasattr(f, "_implementation")  # NumPy's mark of a function that asks its arguments


if __name__ == "__main__":
    print(page(), end="")
