"""Which NumPy and SciPy are installed: the one place where tests ask, and say what some lack."""

import numpy as np
import pytest
import scipy

from fastbp import tree

INSTALLED = {
    module.__name__: tuple(map(int, module.__version__.split(".")[:2])) for module in (np, scipy)
}
# Sampled calls that are written for some versions only: those that NumPy or SciPy itself cannot do
# are left out. Of any other function every call has to run on all versions.
SINCE = {
    "astype": "device= since NumPy 2.1",
    "clip": "bounds without the other one since NumPy 2.1",
    "pad": "a width for each axis by name since NumPy 2.2",
    "reshape": "copy= since NumPy 2.1",
    "scipy.linalg.inv": "empty matrices since SciPy 1.14",
    "scipy.linalg.null_space": "lapack_driver= since SciPy 1.15",
    "scipy.stats.skew": "without bias in float32 since SciPy 1.14",
    "sort": "descending= since NumPy 2.5",
    "scipy.signal.lfilter_zi": "leading zeros before SciPy 1.18",
    "take_along_axis": "a default axis since NumPy 2.3",
}
# Parameters that rules have on all versions, and NumPy's functions since one.
PARAMETERS = {
    ("astype", "device"): "numpy 2.1",
    ("reshape", "copy"): "numpy 2.1",
    ("reshape", "shape"): "numpy 2.1",
    ("sort", "descending"): "numpy 2.5",
    ("unique", "sorted"): "numpy 2.3",
}
# Those that NumPy had before 2.4: reshape takes its own, the others are refused as unknown.
GONE = {
    ("corrcoef", "bias"),
    ("corrcoef", "ddof"),
    ("nanpercentile", "interpolation"),
    ("nanquantile", "interpolation"),
    ("percentile", "interpolation"),
    ("quantile", "interpolation"),
    ("reshape", "newshape"),
}


def _those(*cases):
    """Return the names of cases ``(until, names)`` that what is installed has."""
    return {name for until, names in cases if not has(until) for name in names.split()}


def has(needed):
    """Say whether what is installed is not older than ``"numpy 2.1"`` or ``"scipy 1.16"``."""
    library, version = needed.split()
    return INSTALLED[library] >= tuple(map(int, version.split(".")))


def comparable(name, parameters):
    """Return the parameters of a function, NumPy's or ours, that both have."""
    return [
        key
        for key in parameters
        if (name, key) not in GONE and has(PARAMETERS.get((name, key), "numpy 2.0"))
    ]


def needs(needed, why):
    """Return a mark: the test is skipped on what is older."""
    return pytest.mark.skipif(not has(needed), reason=f"{why} needs {needed}")


def before(version, what):
    """Return a mark: the test is skipped on this version and later, of what is gone there."""
    return pytest.mark.skipif(has(version), reason=f"{what} is gone in {version}")


def skip_without(needed, why):
    """Skip the running test on what is older."""
    if not has(needed):
        pytest.skip(f"{why} needs {needed}")


def are(wanted):
    """Say whether these are the versions that are installed."""
    pairs = [part.lower().split() for part in wanted.split(" and ")]
    return all(".".join(map(str, INSTALLED[library])) == version for library, version in pairs)


def only(wanted, why):
    """Return a mark: the test is skipped on other versions, as of a page that lists their names.

    `wanted` is as ``"SciPy 1.17"``, or ``"NumPy 2.4 and SciPy 1.17"``.
    """
    return pytest.mark.skipif(not are(wanted), reason=f"{why} is of {wanted}")


def can(name, function, args, kwargs):
    """Say whether a sampled call is one that the installed NumPy and SciPy have, in float32 too."""
    if name not in SINCE:
        return True
    try:
        function(*args, **kwargs)
        function(*tree.map(_single, args), **kwargs)
    except (TypeError, ValueError):
        return False
    return True


def _single(x):
    is_double = type(x) is np.ndarray and x.dtype == np.float64
    return x.astype(np.float32) if is_double else x


# Calls that are wrong in older versions and not by a rule, or the reverse: with what option and
# value; of any value.
ACCIDENTS = [
    case
    for until, case in [
        ("numpy 2.3", ("take", "mode", ...)),
        ("scipy 1.15", ("scipy.integrate.cumulative_trapezoid", "initial", 2.0)),
        ("scipy 1.15", ("scipy.stats.pmean", "weights", ...)),
        ("scipy 1.16", ("scipy.ndimage.zoom", "mode", ...)),
        ("scipy 1.16", ("scipy.signal.resample", "axis", ...)),
        ("scipy 1.16", ("scipy.signal.welch", "axis", 1)),
    ]
    if not has(until)
]
# What has a wider dtype there than its operands and its rule.
WIDER = _those(
    ("numpy 2.3", "linalg.cond"),
    ("scipy 1.14", "scipy.stats.sem"),
    ("scipy 1.15", "scipy.stats.boxcox_llf scipy.stats.entropy scipy.stats.pmean"),
    ("scipy 1.16", "scipy.stats.skew"),
    ("scipy 1.17", "scipy.integrate.cumulative_simpson"),
)
if has("scipy 1.18"):
    WIDER.add("scipy.linalg.lstsq")  # complex sums of squares
REAL = _those(("scipy 1.17", "scipy.integrate.cumulative_simpson"))  # takes no complex numbers
WRONG_IF_COMPLEX = _those(
    ("scipy 1.14", "scipy.special.hyp1f1"),  # 1 of most arguments
    ("scipy 1.15", "scipy.linalg.orthogonal_procrustes"),  # nothing is conjugated
)
# Where SciPy's own error comes first, its class has another name, or it keeps a Variable as it is.
UNNAMED = _those(
    ("scipy 1.15", "scipy.interpolate.LinearNDInterpolator scipy.signal.lfilter"),
    ("scipy 1.17", "scipy.signal.StateSpace"),
)
# What scipy.linalg loads with it.
LOADED = _those(("scipy 1.16", "scipy.sparse.linalg"), ("scipy 1.17", "scipy.sparse"))
