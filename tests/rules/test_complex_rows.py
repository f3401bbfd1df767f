"""Every row of the table on complex operands: the right derivative, or an error that names it."""

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.errors import DTypeError
from fastbp.rules.table import SAMPLES

from .. import versions
from ..harness import Call, called_name, calls_of, indexing_calls, normal

pytestmark = pytest.mark.filterwarnings("ignore:logm result")  # of SciPy, of float32

# Vectors with phases that nothing fixes (linalg/test_decompositions.py), an order that depends on
# the dtype.
FREE = {"linalg.eigh", "linalg.qr-2", "linalg.svd", "unique_values"}
FREE |= {f"scipy.linalg.{name}" for name in (
    "eig-5", "eig-6", "eig_banded", "eigh-0", "eigh-1", "null_space-0", "orth", "svd-0", "svd-1",
    "schur-0", "schur-1",
)}  # fmt: skip
CALLS = [
    pytest.param(name, call, id=f"{name}-{k}")
    for name in SAMPLES
    for k, call in enumerate(calls_of(name))
    if call.arrays and not {name, f"{name}-{k}"} & FREE and name not in versions.WRONG_IF_COMPLEX
]
CALLS += [pytest.param(name, call, id=name) for name, call in indexing_calls().items()]
# Without a meaning, or of real numbers only.
REFUSED = {
    "bincount", "divmod", "frexp", "geomspace", "histogram", "histogram2d", "histogram_bin_edges",
    "histogramdd", "i0", "interp", "ldexp", "linalg.gaps",
    "modf", "nanpercentile", "nanquantile", "percentile", "quantile", "recurrent.gru",
    "recurrent.lstm", "recurrent.rnn", "sparse.solve", "unwrap",
    "scipy.integrate.cumulative_simpson", "scipy.integrate.cumulative_trapezoid",
    "scipy.integrate.romb", "scipy.integrate.simpson", "scipy.integrate.trapezoid",
    "scipy.linalg.fractional_matrix_power", "scipy.linalg.eigh_tridiagonal",
    "scipy.linalg.eigvalsh_tridiagonal",
    *[f"scipy.ndimage.{name}" for name in (
        "affine_transform", "center_of_mass", "convolve", "convolve1d", "correlate",
        "correlate1d", "map_coordinates", "maximum", "maximum_filter", "maximum_filter1d",
        "median", "median_filter", "minimum", "minimum_filter", "minimum_filter1d",
        "percentile_filter", "rank_filter", "rotate", "shift", "standard_deviation", "variance",
        "gaussian_gradient_magnitude", "spline_filter", "spline_filter1d", "sum", "sum_labels",
        "mean", "zoom",
    )],
    "scipy.signal.bilinear", "scipy.signal.find_peaks", "scipy.signal.freqz_sos",
    "scipy.signal.lp2bp", "scipy.signal.lp2bs", "scipy.signal.lp2hp", "scipy.signal.lp2lp",
    "scipy.signal.freqs",     "scipy.signal.freqz", "scipy.signal.hilbert",
    "scipy.signal.medfilt", "scipy.signal.medfilt2d", "scipy.signal.order_filter",
    "scipy.signal.savgol_filter",
    "scipy.signal.welch", "scipy.signal.wiener",
    *[f"{module}.{name}{suffix}" for module in ("fft", "scipy.fft") for name in ("ihfft", "rfft")
      for suffix in ("", "2", "n")],
    *[
        f"scipy.special.{name}"
        for name in (
            "bdtr", "bdtrc", "comb", "ellipj", "eval_hermite", "eval_hermitenorm",
            "expn", "factorial", "hyperu", "kn", "multigammaln", "nbdtr", "nbdtrc",
            "pdtr", "pdtrc", "polygamma", "sph_harm_y", "voigt_profile", "yn", "zeta",
        )
    ],
}  # fmt: skip
WIDER = {"logspace", "float_power", "interp", "polyder", "polyint", "vander", "cov", "corrcoef"}
STEP = 2.0**-17  # cube root of the rounding of float64: where both errors of a difference are small


class Complex(Call):
    """A call with complex numbers in place of some arrays, in directions that it is defined in."""

    def __init__(self, call, which, rng):
        vars(self).update(vars(call))
        self.arrays = [
            np.where(x == 0.0, x, x + 0.5j * rng.normal(size=x.shape)) if on else x
            for x, on in zip(call.arrays, which, strict=True)
        ]

    def arguments(self, arrays):
        leaves = list(self.leaves)
        for k, x in zip(self.moving, arrays, strict=True):
            leaves[k] = 0.5 * (x + np.conj(np.swapaxes(x, -1, -2))) if self.symmetric else x
        return self.treedef.unflatten(leaves)

    def __call__(self, *arrays):
        leaves = tree.flatten(self.everything(*arrays))[0]
        return tuple([y for y in leaves if _kind(y) in "fc"])


def _kind(y):
    return (y if type(y) is bp.Variable else np.asarray(y)).dtype.kind


def mixtures(n):
    """All operands complex; and each alone, where there are others."""
    yield (True,) * n
    if n > 1:
        for k in range(n):
            yield tuple(j == k for j in range(n))


def random_like(rng, arrays):
    return tuple(normal(rng, np.shape(x), np.asarray(x).dtype) for x in arrays)


def paired(cotangents, tangents):
    """Return the real part of the sum of products, without conjugation."""
    return sum(np.sum(np.real(c * t)) for c, t in zip(cotangents, tangents, strict=True))


def moved(arrays, tangents, h):
    return [x + h * t for x, t in zip(arrays, tangents, strict=True)]


def quotient(f, arrays, tangents):
    """Differentiate along a direction by central differences."""
    after, before = (f(*moved(arrays, tangents, h)) for h in (STEP, -STEP))
    return tuple([(np.asarray(a) - b) / (2 * STEP) for a, b in zip(after, before, strict=True)])


def near(found, expected, scale=1.0):
    for a, b in zip(found, expected, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        np.testing.assert_allclose(
            a, b, rtol=1e-6, atol=1e-7 * (scale + np.max(np.abs(b), initial=0.0))
        )


def refusal_of(f):
    """Return the message of the error for operands that are refused, or None."""
    try:
        bp.vjp(f, *f.arrays)
    except DTypeError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:Input data is complex")  # of SciPy's spectra
@pytest.mark.parametrize(("name", "call"), CALLS)
def test_a_complex_row_is_right_or_refused_by_name(name, call, rng):
    for which in mixtures(len(call.arrays)):
        f = Complex(call, which, rng)
        refused = refusal_of(f)
        if refused is not None:
            into_real = any(x is np.float64 for x in call.leaves) or not all(which)
            assert name in REFUSED or name.startswith("scipy.stats.") or into_real, refused
            assert called_name(name) in refused
            continue
        value, pull = bp.vjp(f, *f.arrays)
        plain = f(*f.arrays)
        for a, b in zip(value, plain, strict=True):
            assert a.shape == np.shape(b)
            assert a.dtype == np.asarray(b).dtype or call.keeps_single or name in versions.WIDER
        near(value, plain)
        g, t = random_like(rng, value), random_like(rng, f.arrays)
        expected = quotient(f, f.arrays, t)
        _, tangents = bp.jvp(f, tuple(f.arrays), t)
        near(tangents, expected)
        cotangents = pull(g)
        assert [x.dtype for x in cotangents] == [x.dtype for x in f.arrays]
        near([paired(cotangents, t)], [paired(g, expected)], sum(map(np.size, t)))
        _assert_second(f, g, t, rng)


def _assert_second(f, g, t, rng):
    """Gradients differentiate as their differences say, forward and in reverse."""

    def gradient(*arrays):
        return bp.vjp(f, *arrays)[1](g)

    expected = quotient(gradient, f.arrays, t)
    _, found = bp.jvp(gradient, tuple(f.arrays), t)
    near(found, expected)
    again, pull = bp.vjp(gradient, *f.arrays)
    w = random_like(rng, again)
    near([paired(pull(w), t)], [paired(w, expected)], sum(map(np.size, t)))


# ---- special points


def pulled(f, x, g=1.0):
    value, pull = bp.vjp(f, x)
    return pull(np.asarray(g, np.asarray(value).dtype))[0]


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
@pytest.mark.parametrize("zeros", [(), (1,), (0, 2)])
def test_products_with_zeros(dtype, zeros):
    x = np.array([1 + 2j, -1 + 0.5j, 2 - 1j, 0.5j], dtype)
    x[list(zeros)] = 0.0
    others = [np.prod(np.delete(x, k)) for k in range(4)]
    found = pulled(np.prod, x)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, others, rtol=16 * np.finfo(dtype).eps)
    running = pulled(np.cumprod, x, [0, 0, 0, 1])
    np.testing.assert_allclose(running, others, rtol=16 * np.finfo(dtype).eps)


def test_products_whose_parts_leave_the_range():
    x = np.array([1e200 + 1e200j, 1e-200j, 1e200, 1e-200 - 1e-200j, 2.0])
    found = pulled(np.prod, x)
    assert np.isfinite(found).all()
    expected = [
        2.0 * (1e-200j * 1e200) * (1e-200 - 1e-200j),
        2.0 * ((1e200 + 1e200j) * (1e-200 - 1e-200j)) * 1e200,
        2.0 * ((1e200 + 1e200j) * 1e-200j) * (1e-200 - 1e-200j),
        2.0 * ((1e200 + 1e200j) * 1e-200j) * 1e200,
        ((1e200 + 1e200j) * (1e-200 - 1e-200j)) * (1e-200j * 1e200),
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


LENGTHS = [
    pytest.param(np.linalg.norm, id="norm"),
    pytest.param(lambda x: np.linalg.norm(x, 3), id="norm of order 3"),
    pytest.param(np.std, id="std"),
]


@pytest.mark.parametrize("f", LENGTHS)
@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_the_gradient_of_a_length_is_0_at_0(f, dtype):
    found = pulled(f, np.zeros(3, dtype))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, 0.0)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("f", LENGTHS)
def test_lengths_whose_squares_leave_the_range(f, scale):
    x = np.array([3 - 4j, 1j, 2.0])
    with np.errstate(all="ignore"):
        found = pulled(f, scale * x)
    np.testing.assert_allclose(found, pulled(f, x), rtol=1e-13)


def test_the_deviation_of_equal_elements_is_flat():
    np.testing.assert_array_equal(pulled(np.std, np.full(3, 0.1 + 0.2j)), 0.0)


def test_equal_extremes_share():
    x = np.array([1 + 2j, 1 + 2j, 1 + 1j, -3 + 5j])
    np.testing.assert_array_equal(pulled(np.max, x), [0.5, 0.5, 0, 0])
    np.testing.assert_array_equal(pulled(np.min, x), [0, 0, 0, 1])


def test_the_determinant_of_a_singular_matrix():
    u, v = np.array([1 + 1j, 2.0, 1j]), np.array([1.0, -1j, 2 + 1j])
    a = np.outer(u, v) + np.diag([1 + 2j, 0, 0])
    cofactors = [
        [(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(a, i, 0), j, 1)) for j in range(3)]
        for i in range(3)
    ]
    np.testing.assert_allclose(pulled(np.linalg.det, a), cofactors, atol=1e-13)


def test_many_elements_add_up_in_one_place(rng):
    for dtype in (np.complex64, np.complex128):
        x = normal(rng, 3, dtype)
        index = rng.integers(0, 3, 2000)
        g = normal(rng, 2000, dtype)
        found = pulled(lambda x, index=index: x[index], x, g)
        expected = np.zeros(3, np.complex128)
        np.add.at(expected, index, g)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=2000 * np.finfo(dtype).eps)


def test_slogdet_is_the_logarithm_of_the_determinant(rng):
    a = normal(rng, (3, 3), np.complex128)

    def again(a):
        sign, log = np.linalg.slogdet(a)
        return sign * np.exp(log)

    np.testing.assert_allclose(pulled(again, a), pulled(np.linalg.det, a), rtol=1e-12)


def test_squares_of_lengths_have_derivatives_at_0():
    z = np.zeros(3, np.complex128)
    t = np.array([1 + 2j, 3.0, -1j])
    for f, expected in (
        (lambda z: np.linalg.norm(z) ** 2, 2.0 * np.conj(t)),
        (lambda z: np.std(z) ** 2, 2.0 / 3.0 * np.conj(t - t.mean())),
        (np.var, 2.0 / 3.0 * np.conj(t - t.mean())),
    ):
        _, found = bp.jvp(lambda z, f=f: bp.vjp(f, z)[1](1.0)[0], (z,), (t,))
        np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-15)


@pytest.mark.filterwarnings("ignore:Input data is complex")
@pytest.mark.parametrize(("name", "call"), CALLS)
def test_single_precision_stays_single(name, call, rng):
    f = Complex(call, (True,) * len(call.arrays), rng)
    single = [x.astype(np.complex64) for x in f.arrays]
    if refusal_of(f) is not None or name in WIDER:
        return
    value, pull = bp.vjp(f, *single)
    for a, b in zip(value, f(*single), strict=True):
        kept = (
            (np.complex64 if a.dtype.kind == "c" else np.float32) if call.keeps_single else a.dtype
        )
        assert a.dtype in (np.asarray(b).dtype, kept)
    g = random_like(rng, value)
    found, expected = pull(g), bp.vjp(f, *f.arrays)[1](g)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.complex64
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-4 * (1 + np.max(np.abs(b), initial=0.0)))
