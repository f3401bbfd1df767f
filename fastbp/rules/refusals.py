"""What to write instead, where a Variable was asked for a plain array or a number.

Nothing here runs before an error is certain: the frames of the callers tell who asked.
"""

import importlib
import math
import sys
import types

import numpy as np

from fastbp._core import graph
from fastbp.derived import Derived
from fastbp.errors import DTypeError, FastbpError, NoRuleError, ReturnedVariableError
from fastbp.rules.calls import called, doing
from fastbp.rules.frames import asking_function, given, is_theirs, name_in_frame, name_of
from fastbp.rules.table import REFUSED

__all__ = ["FIT", "INSTEAD", "counterpart", "refusal", "unsaid", "write_instead"]

#: What to write in place of functions that have no counterpart of the same name: Python, or words
#: with Python between backticks.
INSTEAD = {
    **{
        f"numpy.{name}": f"`b = fastbp.variable(b)`, and `numpy.{name}(b, ...)`"
        for name in (
            "add.at",
            "copyto",
            "fill_diagonal",
            "place",
            "put",
            "put_along_axis",
            "putmask",
            "subtract.at",
        )
    },
    "numpy.intersect1d": "numpy.unique(x[numpy.isin(x, y)])",
    "numpy.logaddexp.reduce": "fastbp.numpy.logsumexp(x, axis=axis)",
    "numpy.ndenumerate": "((i, x[i]) for i in numpy.ndindex(x.shape))",
    "numpy.lib.stride_tricks.as_strided": ("numpy.lib.stride_tricks.sliding_window_view(x, ...)"),
    "numpy.matrix": "numpy.atleast_2d(x)",
    "numpy.nditer": "numpy.ravel(x)",
    "numpy.poly1d": "sum(c * x**k for k, c in enumerate(reversed(p)))",
    "numpy.polynomial.Polynomial": "sum(c * x**k for k, c in enumerate(p))",
    "scipy.special.legendre_p": "fastbp.scipy.special.eval_legendre(..., x)",
    "numpy.save": "numpy.save(file, x.value)",
    "numpy.savetxt": "numpy.savetxt(file, x.value)",
    "numpy.vectorize": "NumPy functions on whole arrays, or `fastbp.numpy.vectorize(f)(x)`",
    "numpy.c_": "fastbp.numpy.c_[...]",
    "numpy.full": "fastbp.numpy.full(shape, x)",
    "numpy.full_like": "fastbp.numpy.full_like(a, x)",
    "numpy.r_": "fastbp.numpy.r_[...]",
    "numpy.fromiter": "fastbp.numpy.array(list(...))",
    "numpy.rec.fromarrays": "`dict(zip(names.split(','), x))`, a dict of arrays",
}
FIT = "maximise the sum of logpdf, by scipy.optimize.minimize and fastbp.grad"
_VALUES = "where no derivative is wanted, pass fastbp.stop_gradient(x)"
_ASSIGNED = (
    "an element of a plain array cannot keep the derivative of a Variable that is assigned to it: "
    "make the array by b = fastbp.numpy.zeros(n) (array, eye, full and the like: import "
    "fastbp.numpy as np is enough inside of a differentiated function; fastbp.unmodified(f) does "
    "it for code that stays as it is), or of one that is there by b = fastbp.variable(b); then "
    "b[i] = x is recorded. An array of integers stays plain: write numbers with a point"
)
_REPEATED = (
    "text * x: a Variable is no text's factor, nor can it say how often text is repeated: the "
    "other operand must be a number or an array, numpy.array([1.0, 2.0]) * x; for a count, write "
    "text * int(x.value)"
)
_NUMBERS = {
    "float": (
        "float(x) of a Variable would lose its derivative: x itself is a number for NumPy, so "
        "write numpy.sin(x) and the like in place of math.sin(x), and no float() around it; for "
        "the bare number, to print or to compare, float(x.value)"
    ),
    "int": (
        "int(x) of a Variable would lose its derivative: numpy.trunc(x) gives the whole number, "
        "round(x) an int; for a count or an index computed from it, int(x.value)"
    ),
    "index": (
        "a Variable is a float and cannot stand for an integer (an index, a count, a shape): "
        "compute it from plain numbers, or write int(x.value), which has no derivative"
    ),
    "complex": (
        "complex(x) of a Variable would lose its derivative: x itself is a number for NumPy, and "
        "x + 0j a complex one; for the bare number, complex(x.value[()])"
    ),
    "dlpack": (
        "from_dlpack(x) of a Variable would lose its derivative: x itself is an array for NumPy; "
        "where no derivative is wanted, pass fastbp.stop_gradient(x)"
    ),
}
_ARRAY = (
    "a Variable cannot become a plain array without losing its derivative: x itself goes where an "
    "array does; to join some, write fastbp.numpy.array([x, y]) or numpy.stack([x, y]) (import "
    "fastbp.numpy as np for all; fastbp.unmodified(f) for code that stays as it is), numpy.dot(a, "
    "x) in place of a.dot(x) of a plain array, and "
    "fastbp.stop_gradient(x) for values that are constants"
)


# Functions of Python's module math that have another name elsewhere.
_MATH = {
    **{f"a{name}": f"numpy.arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    "atan2": "numpy.arctan2",
    "dist": "numpy.linalg.norm",
    "erf": "fastbp.scipy.special.erf",
    "erfc": "fastbp.scipy.special.erfc",
    "fabs": "numpy.abs",
    "fmod": "numpy.fmod",
    "fsum": "numpy.sum",
    "gamma": "fastbp.scipy.special.gamma",
    "lgamma": "fastbp.scipy.special.gammaln",
    "pow": "numpy.power",
    "sumprod": "numpy.dot",
}
_OF_TWO = ("atan2", "copysign", "dist", "fmod", "hypot", "nextafter", "pow", "remainder", "sumprod")
# Samples as functions of their parameters: the derivative at fixed random numbers.
_SAMPLES = {
    "normal": "loc + scale * rng.standard_normal(size)",
    "uniform": "low + (high - low) * rng.random(size)",
    "exponential": "scale * rng.standard_exponential(size)",
    "gamma": "scale * rng.standard_gamma(shape, size), which has no derivative by shape",
    "gumbel": "loc + scale * rng.gumbel(size=size)",
    "laplace": "loc + scale * rng.laplace(size=size)",
    "logistic": "loc + scale * rng.logistic(size=size)",
    "lognormal": "numpy.exp(mean + sigma * rng.standard_normal(size))",
    "multivariate_normal": "mean + rng.standard_normal((size, n)) @ numpy.linalg.cholesky(cov).T",
    "rayleigh": "scale * rng.rayleigh(size=size)",
    "weibull": "rng.standard_exponential(size) ** (1.0 / a)",
}


def refusal(asked, *details):
    """Return the error for a Variable where NumPy or SciPy cannot take one.

    None where it becomes a number to be printed only (``"%g" % x``).

    Parameters
    ----------
    asked : {"array", "float", "int", "index", "complex", "dlpack", "rule", "out"}
        What for: to become a plain array or number (details: the Variable); a rule that there is
        not (a function, the method of a ufunc); a plain array to write the result to (a ufunc,
        operands, out).
    """
    frame = sys._getframe(1)
    while str(frame.f_globals.get("__name__")).startswith("fastbp.rules."):
        frame = frame.f_back
    caller = asking_function(frame)
    if asked == "out":
        return _out(caller, *details)
    if asked == "rule":
        return _no_rule(caller, *details)
    if caller is not None:
        if caller.startswith("numpy.ma."):
            return DTypeError(
                "numpy.ma: a Variable beside a masked array, whose mask would be lost: pass "
                "masked.filled(...), or choose with numpy.where(mask, ...)"
            )
        if _calls_back(caller) and details and not _was_given(frame, details[0]):
            return ReturnedVariableError(
                f"{caller}: the function that it calls depends on a Variable and returned one: "
                f"{caller} takes numbers, and has no derivative here. Write one by "
                "fastbp.custom_rule around the whole call (examples/through_a_solver.py); with "
                "x.value or fastbp.stop_gradient(x) in the function, x counts as a constant"
            )
        listed = " in a list" if _has_rule(caller) and caller not in INSTEAD else ""
        return NoRuleError(
            f"{caller} takes no Variable{listed}: {write_instead(caller)}; {_VALUES}"
        )
    operation = doing(frame)
    if operation in ("%", "%=") and asked in ("float", "int"):
        return None
    if operation in ("*", "*=") and asked == "index":
        return NoRuleError(_REPEATED)
    if operation in ("STORE_SUBSCR", "STORE_SLICE"):
        return NoRuleError(_ASSIGNED)
    if operation in ("BINARY_SUBSCR", "BINARY_SLICE", "[]"):
        return NoRuleError(_NUMBERS["index"])
    compiled = _by_compiled(called(frame))
    if compiled is not None:
        return NoRuleError(compiled)
    message = _NUMBERS.get(asked, _ARRAY)
    if asked == "array":
        function = called(frame)
        if function is np.nditer:  # NumPy replaces what is a TypeError
            name = name_of(function)
            return FastbpError(f"{name} takes no Variable: {write_instead(name)}; {_VALUES}")
        if str(getattr(function, "__module__", "")).partition(".")[0] in ("numpy", "builtins"):
            name = name_of(function).removeprefix("builtins.")
            message = f"{name}: {message}"
    return NoRuleError(message)


def _by_compiled(function):
    """Return what to say of a compiled function that a line of the user's calls, or None.

    Of Python's math, of an array, of a random generator.
    """
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    if owner is math and callable(function):
        other = _MATH.get(name, f"numpy.{name}" if hasattr(np, name) else None)
        other = other if other is None or name in _OF_TWO else f"{other}(x)"
        instead = f"write {other}" if other else "give it a rule by fastbp.custom_rule(f, vjp=...)"
        return (
            f"math.{name}(x) of a Variable would lose its derivative: {instead}; for the bare "
            "number, to print or to compare, float(x.value)"
        )
    if isinstance(owner, np.ndarray) and _has_rule(f"numpy.{name}"):
        return (
            f"the method {name} of a plain array takes no Variable: write numpy.{name}(a, x); "
            f"{_VALUES}"
        )
    kind = type(owner)
    if kind.__module__.startswith("numpy.random."):
        shown = "numpy.random" if kind.__name__ == "RandomState" else "numpy.random.Generator"
        instead = "sample by plain numbers, and let the sample enter a recorded formula"
        if name in _SAMPLES:
            instead = f"write {_SAMPLES[name]}, differentiated at fixed random numbers"
        return f"{shown}.{name} takes no Variable: {instead}; {_VALUES}"
    if str(getattr(function, "__module__", "")).startswith("scipy."):
        shown = name_of(function)
        return f"{shown} takes no Variable: {write_instead(shown)}; {_VALUES}"
    return None


def _calls_back(name):
    """Say whether a function of SciPy's is given one of the user's to call."""
    called = name.startswith(("scipy.optimize.", "scipy.integrate."))
    return called and counterpart(name) is None


def _was_given(frame, x):
    """Say whether a Variable is one of the arguments of the function that the user called."""
    while frame.f_back is not None and is_theirs(frame.f_back):
        frame = frame.f_back
    return any(v is x for v in given(frame))


def _no_rule(caller, function, method="__call__"):
    name = name_of(function)
    if method != "__call__":
        name = f"{name}.{method}"
    elif caller is not None and caller != name:
        # A function of NumPy's or SciPy's own has called it.
        return NoRuleError(
            f"{caller} takes no Variable (it calls {name}): {write_instead(caller)}; {_VALUES}"
        )
    return NoRuleError(f"{name} has no derivative rule in fastbp: {write_instead(name)}; {_VALUES}")


def unsaid(error):
    """Return what an error does not say: which function without a rule met a Variable; or None.

    NumPy's and SciPy's functions that look at types have errors of their own for Variables.
    """
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        name = name_in_frame(frame) if is_theirs(frame) else None
        if name is not None:
            met = any(type(v) in (graph.Variable, graph.Passive) for v in given(frame))
            if not met or name in str(error) or _has_rule(name):
                return None
            return f"{name} was given a Variable: {write_instead(name)}; {_VALUES}"
        if trace.tb_next is None and name is None:
            return _of_a_class(frame)
        trace = trace.tb_next
    return None


def _of_a_class(frame):
    """Return what to say of a compiled class of NumPy that a line of the user calls, or None."""
    kind = called(frame)
    if not isinstance(kind, type) or not str(kind.__module__).startswith("numpy"):
        return None
    if not any(type(x) is graph.Variable for x in frame.f_locals.values()):
        return None
    return f"{name_of(kind)} was given a Variable: {write_instead(name_of(kind))}; {_VALUES}"


def _out(caller, ufunc, operands, out):
    name, shown = ufunc.__name__, name_of(ufunc)
    if caller is not None:
        instead = "write " + f"{caller}(fastbp.variable(a), ...)" if _has_rule(caller) else ""
        return NoRuleError(
            f"{caller} takes no Variable beside a plain array (it calls {shown} in place): "
            f"{instead or write_instead(caller)}; {_VALUES}"
        )
    sign = _SIGNS.get(name)
    if sign is not None and len(operands) == 2 and out[0] is operands[0]:
        return NoRuleError(
            f"b {sign}= x ({name}): the plain array b cannot keep the derivative of a Variable: "
            f"write b = b {sign} x, which makes b a Variable; where b is a part of an array a, "
            "begin with a = fastbp.variable(a)"
        )
    return NoRuleError(
        f"{shown}: out= must be a Variable: a plain array cannot keep the derivative; write "
        f"b = {shown}(...) without out=, or out=fastbp.variable(b)"
    )


_SIGNS = {
    "add": "+",
    "divide": "/",
    "floor_divide": "//",
    "matmul": "@",
    "multiply": "*",
    "power": "**",
    "remainder": "%",
    "subtract": "-",
}


def write_instead(name):
    """Return what to write in place of a function of NumPy's or SciPy's that takes no Variable."""
    ours = counterpart(name)
    if ours is not None:
        return f"write {ours}"
    if name in INSTEAD:
        return f"write {INSTEAD[name].replace('`', '')}"
    if name in REFUSED:
        return REFUSED[name]
    module = name.rpartition(".")[0]
    if module.startswith("scipy.stats.") and name.endswith(".fit"):
        return FIT
    if module == "scipy.spatial.distance" or name == "scipy.spatial.distance_matrix":
        return "write NumPy functions of the differences, x[:, None] - y for all pairs of rows"
    if module.startswith("numpy.testing"):
        return f"write {name}(fastbp.stop_gradient(x), ...)"
    if module.startswith("scipy.sparse.linalg"):
        return "write fastbp.sparse.solve(A, b) for a system, A @ x with the matrix for a product"
    if module.startswith("scipy.sparse"):
        return "write fastbp.sparse.csr(values, indices, indptr, shape) for values that move"
    if name.startswith(("pandas.", "xarray.")):
        return "write x.value for a table to look at, and go on with x itself, an array"
    if module.startswith("scipy.optimize"):
        return "give it plain numbers, and derivatives by fastbp.grad or fastbp.sparse.for_minimize"
    if _has_rule(name):
        return f"write {name}(fastbp.numpy.array([x, y]))"
    function = name if name.replace(".", "_").isidentifier() else "f"
    missing = "fastbp.scipy has none, " if module.startswith("scipy.") else ""
    return f"{missing}give it a rule by fastbp.custom_rule({function}, vjp=...)"


def counterpart(name):
    """Return the name of what is ours in place of a function of SciPy's, or None.

    Those of `numpy.polynomial` do not look at their arguments either.
    """
    home = next((m for m in ("scipy", "numpy.polynomial") if name.startswith(f"{m}.")), None)
    if home is None or name in REFUSED:
        return None
    found = importlib.import_module(f"fastbp.{home}")
    for part in name.removeprefix(f"{home}.").split("."):
        if isinstance(found, types.ModuleType) and part not in found.__all__:
            return None
        found = getattr(found, part, None)
        if found is None or _is_theirs(found, home):
            return None
    return f"fastbp.{name}"


def _is_theirs(x, home):
    # What runs the code of a function of theirs has its names.
    return not isinstance(x, Derived) and str(getattr(x, "__module__", "")).startswith(home)


def _has_rule(name):
    """Say whether a function of NumPy's is recorded where an argument itself is a Variable."""
    module, _, last = name.rpartition(".")
    return graph.implementation_of(getattr(sys.modules.get(module), last, None)) is not None


graph.bind("refusal", refusal)
graph.bind("name_of", name_of)
