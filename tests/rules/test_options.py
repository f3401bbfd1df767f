"""Every option of every function is honoured as NumPy does, or refused by name: never ignored."""

import functools
import inspect
import warnings

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.errors import NoRuleError
from fastbp.rules.table import SAMPLES
from fastbp.testing import check_grads

from .. import versions
from ..harness import Call, assert_close, called_name, calls_of, function_of, parameters_of

# What to try for a parameter of this name, right or wrong.
TRIALS = {
    "axis": [None, 0, -1, 1, 7, (0,), (0, -1), (0, 1), (0, 0), (), "x"],
    "axes": [None, 1, 0, (1, 0), (0, 0), ((0,), (0,)), 9],
    "keepdims": [True, False],
    "dtype": [np.float64, np.float32, "f4", np.int64, complex],
    "initial": [2.0, None],
    "where": [True, False, np.array([True, False, True]), np.array([[True], [False]])],
    "order": ["C", "F", "A", "K", "x"],
    "mode": [
        "wrap",
        "clip",
        "raise",
        "reflect",
        "constant",
        "edge",
        "full",
        "same",
        "reduced",
        "x",
    ],
    "ddof": [1, 0, 0.5],
    "correction": [1, 0.5],
    "mean": [np.array(0.5)],
    "copy": [True, False, None],
    "casting": ["unsafe", "no"],
    "subok": [True, False],
    "weights": [None, np.array([0.5, 1.0, 2.0]), np.array([0.5, 1.0])],
    "returned": [True],
    "repeats": [0, 1, 3, np.array([1, 2, 0])],
    "shift": [0, 1, -5, (1, 2)],
    "k": [0, 1, -1, 9],
    "offset": [0, 1, -1, 9],
    "axis1": [0, 1, -1],
    "axis2": [0, 1, -1],
    "ord": [None, 1, 2, 3, 0, np.inf, -np.inf, "fro", "nuc", -1, -2, "x"],
    "n": [0, 1, 2, -1],
    "optimize": [True, "greedy", "optimal"],
    "shape": [(-1,), (3, 2), (2, 3), (7,), (-1, -1), 6, ()],
    "indices": [0, np.array([0, 1]), -1, [[0, 1]], 99],
    "device": ["cpu", "gpu", None],
    "ndmin": [0, 3],
    "min": [None, 0.0],
    "max": [None, 0.5],
    "a_min": [None, 0.0],
    "prepend": [0.0],
    "append": [0.0],
    "upper": [True],
    "rcond": [1e-3],
    "hermitian": [True],
    "like": [None, np.zeros(1)],
    "nan": [1.0],
    "stat_length": [2],
    "constant_values": [1.0, (1.0, 2.0)],
    "include_initial": [True],
}


# Accidents of NumPy that are not followed: calls that are wrong here and not there, or the reverse.
ACCIDENTS = [
    # Of several quantiles in several axes NumPy mixes up the axes.
    *[
        (f"nan{name}", "axis", axis)
        for name in ("quantile", "percentile")
        for axis in ((), (0, -1), (0, 1))
    ],
    ("linalg.svd", "hermitian", True),  # of matrices that are not
    # Statistics along no axis.
    *[(name, "axis", ()) for name in SAMPLES if name.startswith("scipy.stats.")],
    ("scipy.fft.irfft", "n", 0),
    ("scipy.fft.hfft", "n", 0),
    ("cumulative_sum", "axis", (0,)),
    ("cumulative_prod", "axis", (0,)),
    ("vecdot", "axis", None),
    # Where there is one axis, SciPy does not look at it.
    ("scipy.ndimage.rotate", "axes", (0, 0)),
    *[("scipy.signal.stft", "axis", axis) for axis in (1, -2)],
    *versions.ACCIDENTS,
]


def outcome(f, args, kwargs):
    """Return what a call returns, or the exception that it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f(*args, **kwargs)
    except Exception as error:
        return error


def compare(name, call, kwargs, arrays):
    """Call with plain arrays and with Variables: same result, both fail, or refused by name."""
    args, own = call.arguments(arrays)
    plain = outcome(call.function, args, {**own, **kwargs})
    args, own = call.arguments([bp.variable(x) for x in arrays])
    found = outcome(call.function, args, {**own, **kwargs})
    if isinstance(found, NoRuleError):
        assert called_name(name) in str(found)
        return
    if isinstance(plain, Exception):
        assert isinstance(found, Exception), f"NumPy raises {plain!r}"
        assert isinstance(found, (TypeError, ValueError, IndexError, RuntimeError)), repr(found)
        return
    assert not isinstance(found, Exception) or isinstance(found, bp.errors.DTypeError), repr(found)
    if not isinstance(found, Exception):
        values = tree.map(lambda y: y.value if type(y) is bp.Variable else y, found)
        assert_close(values, plain, ulps=64, magnitude=call.magnitude(arrays))
        if all(np.asarray(y).dtype != np.float32 and np.all(np.isfinite(y)) for y in leaves(plain)):
            derived = with_options(call, kwargs)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of NumPy's arguments
                check_grads(derived, tuple(derived.arrays), order=1)


def leaves(structure):
    return tree.flatten(structure)[0]


def with_options(call, options):
    """Return the call with other options, as a function of its arrays."""
    args, own = call.arguments(call.arrays)
    own = {key: value for key, value in own.items() if key not in options}
    return Call(functools.partial(call.function, **options), args, own, call.symmetric)


@pytest.mark.parametrize("name", SAMPLES)
def test_options_are_honoured_or_refused(name):
    parameters = parameters_of(name)
    for call in calls_of(name)[:3]:
        args, own = call.arguments(call.arrays)
        given = list(parameters)[: len(args)]
        for option in [p for p in parameters if p in TRIALS and p not in given]:
            for value in TRIALS[option]:
                if (name, option, ...) in ACCIDENTS or (name, option, value) in ACCIDENTS:
                    continue
                try:
                    compare(name, call, {option: value}, call.arrays)
                except AssertionError as error:
                    shapes = [x.shape for x in call.arrays]
                    case = f"{name} of {shapes}, {own}, {option}={value!r}"
                    raise AssertionError(f"{case}: {error}") from None


@pytest.mark.parametrize("name", SAMPLES)
def test_the_signature_is_numpys(name):
    """Names, order and defaults; NumPy's own functions may say less than they take."""
    function = calls_of(name)[0].function
    if function is function_of(name) or isinstance(function, np.ufunc):
        return
    try:
        expected = inspect.signature(function).parameters
    except ValueError:
        return  # built in
    found = inspect.signature(bp._core.graph.implementation_of(function)).parameters
    if any(
        p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in (*expected.values(), *found.values())
    ):
        return
    names = versions.comparable(name, found)
    assert names == versions.comparable(name, expected)
    for key in names:
        parameter = expected[key]
        if parameter.default is not inspect.Parameter.empty:
            default = found[key].default
            assert default is parameter.default or default == parameter.default
