"""Operands of several dtypes: results have NumPy's dtype, cotangents that of their operand."""

import itertools
import re

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp._core.graph import promoted
from fastbp.errors import DTypeError
from fastbp.rules.table import FUNCTIONS, SAMPLES

from .. import versions
from ..harness import (
    ELEMENTWISE,
    EPS,
    Call,
    called_name,
    calls_of,
    indexing_calls,
    normal,
    operands_of,
)

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
PAIRS = [(a, b) for a, b in itertools.product(DTYPES, (*DTYPES, np.int64)) if a is not b]
NAMED = [(name, call) for name in SAMPLES for call in calls_of(name)]
NAMED += [
    (op.name, Call(op, operands_of(op, ((2, 3),) * op.nin, np.random.default_rng(0)), {}))
    for op in ELEMENTWISE.values()
    if op.name in FUNCTIONS
]
NAMED += indexing_calls().items()
pytestmark = pytest.mark.filterwarnings("ignore:logm result")  # of SciPy, of float32
CALLS = [
    pytest.param(name, call, id=f"{name}-{k}")
    for k, (name, call) in enumerate(NAMED)
    if len(call.arrays) > 1 and name != "scipy.linalg.eig"  # whose phases nothing fixes
]
# SciPy takes the first loop that its operands fit, and has that of complex128 in front.
WIDER = {"xlogy", "xlog1py"}
# SciPy computes these in double precision, where they are complex.
WIDER |= {
    f"scipy.linalg.{name}"
    for name in ("expm_frechet", "fractional_matrix_power", "matmul_toeplitz", "solve_toeplitz")
}
WIDER |= versions.WIDER
# Functions of real numbers.
REAL = {
    "arctan2", "copysign", "divmod", "fmod", "geomspace", "heaviside", "histogram", "histogram2d",
    "histogram_bin_edges", "histogramdd", "hypot", "i0", "logaddexp",
    "logaddexp2", "nanpercentile", "nanquantile", "percentile", "quantile",
    "recurrent.gru", "recurrent.lstm", "recurrent.rnn", "remainder", "scipy.special.comb",
    "scipy.special.sph_harm_y", "scipy.special.voigt_profile",
    "scipy.signal.bilinear", "scipy.signal.lp2bp", "scipy.signal.lp2bs", "scipy.signal.lp2hp",
    "scipy.signal.lp2lp", "scipy.signal.wiener", "scipy.special.zeta", "sparse.solve", "unwrap",
}  # fmt: skip
REAL |= versions.REAL
REAL |= {"scipy.linalg.eigh_tridiagonal", "scipy.linalg.eigvalsh_tridiagonal"}
# Those whose last operand is real, and whose operands are of one kind.
LAST_REAL = {f"scipy.signal.{name}" for name in ("freqs", "freqz", "welch")}
LAST_REAL |= {
    f"scipy.integrate.{name}"
    for name in ("cumulative_simpson", "cumulative_trapezoid", "romb", "simpson", "trapezoid")
}
LAST_REAL |= {"scipy.linalg.fractional_matrix_power"}
OF_ONE_KIND = {"scipy.signal.coherence", "scipy.signal.csd"}


def as_kind(x, dtype, rng):
    """Return numbers near those of `x`; integers are none that a value cannot be computed of."""
    if np.dtype(dtype).kind == "i":
        return (np.where(x < 0, np.floor(x), np.ceil(x))).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x = x + 0.25j * rng.normal(size=x.shape)
    return np.asarray(x, dtype)


def wide(x):
    return np.asarray(x, np.complex128 if x.dtype.kind == "c" else np.float64)


def outputs_of(call, arrays):
    """Return the results that are numbers with a fraction."""
    found = tree.flatten(call.everything(*arrays))[0]
    return [y for y in found if (y if type(y) is bp.Variable else np.asarray(y)).dtype.kind in "fc"]


def pulled(call, arrays, cotangents=None):
    """Return the results, cotangents for them, and those of the arrays that are no integers."""
    moving = [k for k, x in enumerate(arrays) if x.dtype.kind != "i"]

    def f(*given):
        operands = list(arrays)
        for k, x in zip(moving, given, strict=True):
            operands[k] = x
        return tuple(outputs_of(call, operands))

    values, pull = bp.vjp(f, *[arrays[k] for k in moving])
    if cotangents is None:
        rng = np.random.default_rng(1)
        cotangents = tuple(normal(rng, y.shape, y.dtype) for y in values)
    return values, cotangents, [arrays[k] for k in moving], pull(cotangents)


def is_refused(name, call, arrays):
    """Say whether operands have no derivative, or their results would be put into real ones."""
    of_image = name.startswith("scipy.ndimage.")
    if of_image and (arrays[0].dtype.kind == "i" or any(x.dtype.kind == "c" for x in arrays[1:])):
        return True
    if "c" not in {x.dtype.kind for x in arrays}:
        return False
    if name == "interp" and any(x.dtype.kind == "c" for x in arrays[:-1]):
        return True
    complex_ones = [x.dtype.kind == "c" for x in arrays]
    if (name in LAST_REAL and complex_ones[-1]) or (name in OF_ONE_KIND and not all(complex_ones)):
        return True
    into_real = (is_write(name) or name in ("gradient", "std", "var")) and arrays[
        0
    ].dtype.kind != "c"
    return (
        name in REAL
        or name.startswith("scipy.stats.")
        or into_real
        or any(x is np.float64 for x in call.leaves)
    )


def is_write(name):
    return name in ("insert", "ediff1d", "gradient", "std", "var") or name.startswith(
        ("add ", "put ")
    )


@pytest.mark.filterwarnings("ignore:Input data is complex")  # of SciPy's spectra
@pytest.mark.parametrize(("name", "call"), CALLS)
def test_dtypes_promote_as_in_numpy(name, call, rng):
    for (own, other), k in itertools.product(PAIRS, range(len(call.arrays))):
        arrays = [as_kind(x, own if j == k else other, rng) for j, x in enumerate(call.arrays)]
        if is_write(name) and arrays[0].dtype.kind == "i":
            continue  # no Variable
        if name == "histogram" and "c" in {x.dtype.kind for x in arrays}:
            continue  # weights may be complex, data not
        if is_refused(name, call, arrays):
            with pytest.raises(DTypeError, match=re.escape(called_name(name))):
                pulled(call, arrays)
            continue
        with np.errstate(all="ignore"):
            values, g, moving, found = pulled(call, arrays)
            plain = outputs_of(call, arrays)
            widened = [x if x.dtype.kind == "i" else wide(x) for x in arrays]
            again, _, _, expected = pulled(call, widened, tuple(map(wide, g)))
        assert name in WIDER or [y.dtype for y in values] == [np.asarray(y).dtype for y in plain]
        assert [x.dtype for x in found] == [x.dtype for x in moving]
        eps = max(EPS[np.zeros(0, x.dtype).real.dtype] for x in moving)
        for a, b in (*zip(values, again, strict=True), *zip(found, expected, strict=True)):
            size = 1 + np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=1000 * eps, atol=1000 * eps * size)


# ---- numbers of Python's, and what is refused


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", [2, 2.0, 2j, np.float64(2.0), np.float32(2.0)])
def test_pythons_numbers_promote_as_in_numpy(dtype, number):
    x = np.array([1.5, -0.5, 2.0], dtype)
    choice = np.array([True, False, True])
    for function in (
        np.multiply,
        np.dot,
        np.inner,
        np.kron,
        np.outer,
        lambda a, b: np.tensordot(a, b, 0),
        lambda a, b: np.where(choice, a, b),
        lambda a, b: np.where(choice, b, a),
        lambda a, b: np.einsum("i,->i", a, b),
    ):
        y = function(bp.variable(x), number)
        assert y.dtype == function(x, number).dtype
        np.testing.assert_array_equal(y.value, function(x, number))


WITH_A_CONSTANT = {
    "matmul": lambda x, b: x @ b,
    "dot": lambda x, b: x.dot(b),
    "inner": np.inner,
    "outer": np.outer,
    "kron": np.kron,
    "vdot": np.vdot,
    "tensordot": lambda x, b: np.tensordot(x, b, 1),
    "vecdot": np.vecdot,
    "cross": np.cross,
    "einsum": lambda x, b: np.einsum("i,i", x, b),
    "where": lambda x, b: np.where(b > 0, x, b),
    "multi_dot": lambda x, b: np.linalg.multi_dot([x, b[:, None]]),
    "solve": lambda x, b: np.linalg.solve(np.outer(b, b), x),
    "add": np.add,
}


@pytest.mark.parametrize("name", WITH_A_CONSTANT)
def test_what_has_no_derivative_is_refused_by_name(name, rng):
    x, b = bp.variable(rng.normal(size=3)), rng.normal(size=3)
    with pytest.raises(DTypeError, match=rf"{name}: operand.*longdouble|{name}: operand.*float128"):
        WITH_A_CONSTANT[name](x, b.astype(np.longdouble))


def test_operands_in_one_dtype_are_passed_on(rng):
    a, b = bp.variable(rng.normal(size=3)), rng.normal(size=3)
    assert promoted("f", a, b) == (a, b)
    c, d = promoted("f", a, b.astype(">f4"))
    assert c is a
    assert d.dtype == np.float64
    assert d.dtype.isnative
    single, scalar = promoted("f", b.astype(np.float32), [1, 2])
    assert single.dtype == scalar.dtype == np.float64
    with pytest.raises(DTypeError, match="f: operand 1"):
        promoted("f", a, np.array(["a"]))
    with pytest.raises(DTypeError, match="f: operands of float16, bool give float16"):
        promoted("f", np.ones(2, np.float16), np.ones(2, bool))
