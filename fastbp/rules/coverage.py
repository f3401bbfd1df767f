"""What becomes of every public function: ``python -m fastbp.rules.coverage > docs/coverage.md``.

Made from the tables that decide it and the public names of the NumPy and SciPy installed.
"""

import importlib
import inspect

import numpy as np
import scipy

from fastbp._core.graph import implementation_of
from fastbp.rules import refusals
from fastbp.rules.table import CONSTANTS, CREATORS, FUNCTIONS, REFUSED, load_all

__all__ = ["GONE", "NAMESPACES", "SINCE", "VERSIONS", "functions", "kind", "page"]

VERSIONS = "NumPy 2.4 and SciPy 1.17"  # whose names the page lists

NAMESPACES = (
    "numpy",
    "numpy.linalg",
    "numpy.fft",
    *[
        f"scipy.{name}"
        for name in ("special fft linalg signal stats integrate ndimage interpolate".split())
    ],
)

# Which of these came after NumPy 2.0 and SciPy 1.13, and in which version; which are gone in one.
_CAME = {
    "2.1": "numpy.cumulative_prod numpy.cumulative_sum numpy.unstack",
    "2.2": "numpy.matvec numpy.vecmat",
    "1.14": """scipy.fft.prev_fast_len scipy.special.log_wright_bessel scipy.stats.irwinhall
        scipy.stats.power""",
    "1.15": """scipy.integrate.cubature scipy.integrate.lebedev_rule scipy.integrate.nsum
        scipy.integrate.tanhsinh scipy.interpolate.generate_knots scipy.interpolate.make_splprep
        scipy.interpolate.make_splrep scipy.signal.envelope scipy.signal.freqz_sos
        scipy.special.assoc_legendre_p scipy.special.assoc_legendre_p_all scipy.special.legendre_p
        scipy.special.legendre_p_all scipy.special.softplus scipy.special.sph_harm_y
        scipy.special.sph_harm_y_all scipy.special.sph_legendre_p scipy.special.sph_legendre_p_all
        scipy.stats.abs scipy.stats.chatterjeexi scipy.stats.dpareto_lognorm scipy.stats.exp
        scipy.stats.landau scipy.stats.lmoment scipy.stats.log scipy.stats.make_distribution
        scipy.stats.normal_inverse_gamma scipy.stats.order_statistic scipy.stats.poisson_binom
        scipy.stats.truncate""",
    "1.16": """scipy.ndimage.vectorized_filter scipy.signal.closest_STFT_dual_window
        scipy.signal.firwin_2d scipy.stats.quantile""",
    "1.17": "scipy.stats.matrix_t scipy.stats.spearmanrho",
}
SINCE = {name: version for version, names in _CAME.items() for name in names.split()}
GONE = {"numpy.row_stack": "2.5"}

HEAD = f"""# Coverage

What becomes of a Variable in every public function of {VERSIONS}. Made from the tables in
`fastbp/rules/` by `python -m fastbp.rules.coverage > docs/coverage.md`; tests compare the two, and
call the functions.

* *Differentiable*: a derivative of any order, from NumPy's own name or from `fastbp.scipy`.
* *Makes arrays*: from shapes and numbers, which recorded values can be written into.
* *Constant*: sees the values; the derivative is zero almost everywhere.
* *Refused*: raises `NoRuleError`, which says why, or what to write instead.
* *Without a rule*: takes plain numbers only. A Variable raises an error, or, where the function is
  written in NumPy's own functions, is recorded by these.

A number behind a name is the version that it came with. What other versions have beside these is
without a rule.

How, and with which arguments: [operations.md](operations.md),
[not_differentiable.md](not_differentiable.md).
"""

TITLES = {
    "differentiable": "Differentiable",
    "makes arrays": "Makes arrays",
    "constant": "Constant",
    "refused": "Refused",
    "without a rule": "Without a rule",
}


def functions(namespace):
    """Return the public functions of a module by name, classes left out."""
    module = importlib.import_module(namespace)
    found = {name: getattr(module, name) for name in sorted(module.__all__)}
    return {name: f for name, f in found.items() if callable(f) and not inspect.isclass(f)}


def kind(namespace, name):
    """Return what becomes of a Variable in a function: one of the keys of `TITLES`."""
    path = f"{namespace}.{name}"
    ours = importlib.import_module(f"fastbp.{namespace}")
    key = name if namespace.startswith("numpy") else path
    bound = implementation_of(getattr(importlib.import_module(namespace), name))
    if path in REFUSED:
        return "refused"
    if key in CONSTANTS or (name in CONSTANTS and namespace == "scipy.special"):
        return "constant"
    if namespace == "numpy" and key in CREATORS and key not in FUNCTIONS:
        return "makes arrays"
    if name in ours.__all__ or bound is not None:
        return "differentiable"
    return "refused" if path in refusals.INSTEAD else "without a rule"


def page():
    """Return the page as Markdown."""
    load_all()
    lines = [HEAD]
    for namespace in NAMESPACES:
        lines += [f"## `{namespace}`", ""]
        kinds = {name: kind(namespace, name) for name in functions(namespace)}
        for key, title in TITLES.items():
            names = [name for name, found in kinds.items() if found == key]
            if not names:
                continue
            if key == "refused":
                lines += [f"{title} ({len(names)}):", ""]
                lines += [
                    f"* {_shown(namespace, name)}: {_why(f'{namespace}.{name}')}" for name in names
                ]
            else:
                shown = ", ".join(_shown(namespace, name) for name in names)
                lines.append(f"{title} ({len(names)}): {shown}.")
            lines.append("")
    return "\n".join(lines)


def _shown(namespace, name):
    path = f"{namespace}.{name}"
    since = f" ({SINCE[path]})" if path in SINCE else ""
    return f"`{name}`{since}" + (f" (before {GONE[path]})" if path in GONE else "")


def _why(path):
    if path in REFUSED:
        return REFUSED[path]
    text = refusals.INSTEAD[path]
    return "write " + (text if "`" in text else f"`{text}`")


def _installed():
    numbers = [".".join(m.__version__.split(".")[:2]) for m in (np, scipy)]
    return "NumPy {} and SciPy {}".format(*numbers)


if __name__ == "__main__":
    if _installed() != VERSIONS:
        raise SystemExit(f"the page is of {VERSIONS}, not of {_installed()}")
    print(page(), end="")
