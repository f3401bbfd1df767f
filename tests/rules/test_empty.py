"""Operands without elements: SciPy's value, derivatives without any, or its own refusal."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.signal

import fastbp as bp
import fastbp.scipy.linalg
import fastbp.scipy.ndimage
import fastbp.scipy.signal as signal
from fastbp import tree

SHAPES = [(0,), (0, 3), (3, 0)]
B, A = np.array([1.0, 0.5]), np.array([1.0, 0.2])
SOS = np.array([[1.0, 0.5, 0.0, 1.0, 0.2, 0.0]])


def pair(name):
    module, function = name.split(".")
    return (getattr(getattr(side, module), function) for side in (bp.scipy, scipy))


def agrees(name, *given, **options):
    """Compare with SciPy, where it has a value; arrays among `given` are differentiated by."""
    ours, theirs = pair(name)
    places = [k for k, x in enumerate(given) if isinstance(x, np.ndarray)]

    def calls(f, arrays):
        arguments = list(given)
        for k, x in zip(places, arrays, strict=True):
            arguments[k] = x
        return f(*arguments, **options)

    arrays = [given[k] for k in places]
    with np.errstate(invalid="ignore", divide="ignore"):
        try:
            expected = calls(theirs, arrays)
        except Exception:  # of this version, and of its LAPACK
            return
        f = lambda *x: calls(ours, x)
        found, pullback = bp.vjp(f, *arrays)
        sizes = lambda value: [np.shape(x) for x in tree.flatten(value)[0]]
        assert sizes(found) == sizes(expected)
        for x, y in zip(tree.flatten(found)[0], tree.flatten(expected)[0], strict=True):
            np.testing.assert_array_equal(x, y)
        ones = tree.map(np.ones_like, found)
        backward = pullback(ones)
        forward = bp.jvp(f, arrays, [np.ones_like(x) for x in arrays])[1]
        assert sizes(forward) == sizes(found)
        for x, bar in zip(arrays, backward, strict=True):
            assert bar.shape == x.shape
            assert not bar.any()
        second = bp.jvp(lambda *x: bp.vjp(f, *x)[1](ones), arrays, arrays)[1]
        assert sizes(second) == sizes(backward)


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:kernel_size exceeds")
@pytest.mark.parametrize("shape", SHAPES)
class TestSignals:
    @pytest.mark.parametrize("axis", [0, -1])
    def test_filters(self, shape, axis):
        x = np.zeros(shape)
        agrees("signal.lfilter", B, A, x, axis=axis)
        agrees("signal.filtfilt", B, A, x, axis=axis, padlen=0)
        agrees("signal.sosfilt", SOS, x, axis=axis)
        agrees("signal.upfirdn", B, x, axis=axis)

    @pytest.mark.parametrize("mode", ["full", "same", "valid"])
    def test_convolutions(self, shape, mode):
        x, kernel = np.zeros(shape), np.ones((2,) * len(shape))
        for name in ("convolve", "correlate"):
            for method in ("auto", "direct"):
                agrees(f"signal.{name}", x, kernel, mode, method)
                agrees(f"signal.{name}", kernel, x, mode, method)
            if len(shape) == 2:
                agrees(f"signal.{name}2d", x, kernel, mode)
                agrees(f"signal.{name}2d", kernel, x, mode)

    @pytest.mark.filterwarnings("ignore:nperseg = ")
    def test_smoothing(self, shape):
        x = np.zeros(shape)
        agrees("signal.wiener", x, 3)
        agrees("signal.medfilt", x, 3)
        agrees("signal.order_filter", x, [1, 1, 1] if len(shape) == 1 else [[1] * 3] * 3, 0)
        agrees("signal.stft", x)
        agrees("signal.spectrogram", x)


def test_refusals_of_convolutions_are_those_of_scipy():
    for name in ("convolve", "correlate"):
        ours, theirs = pair(f"signal.{name}")
        for method in ("direct", "fft"):
            with pytest.raises((ValueError, IndexError)) as expected:
                theirs(np.zeros(0), B, "full", method)
            with pytest.raises(type(expected.value), match=str(expected.value)):
                ours(bp.variable(np.zeros(0)), B, "full", method)
    with pytest.raises(ValueError, match="empty axis"):  # where SciPy ends Python
        signal.convolve2d(bp.variable(np.zeros((0, 3))), np.ones((2, 2)), "full", "wrap")


FILTERS = {
    "correlate": [1.0, 2.0],
    "convolve": [1.0, 2.0],
    "median_filter": 3,
    "maximum_filter": 3,
    "maximum_filter1d": 3,
    "minimum_filter1d": 2,
}


@pytest.mark.parametrize("mode", ["reflect", "nearest", "constant", "wrap"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", FILTERS)
def test_filters_of_images(name, shape, mode):
    given = FILTERS[name]
    if isinstance(given, list):
        given = np.ones((2,) * len(shape))
    agrees(f"ndimage.{name}", np.zeros(shape), given, mode=mode)


@pytest.mark.parametrize("shape", SHAPES)
def test_filters_of_a_rank(shape):
    agrees("ndimage.rank_filter", np.zeros(shape), 1, 3)
    agrees("ndimage.percentile_filter", np.zeros(shape), 30, 3)


@pytest.mark.filterwarnings("ignore:.*does not depend on")
@pytest.mark.parametrize("index", [[], np.zeros((0, 2), int).tolist(), np.zeros((2, 0)).tolist()])
@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "mean",
        "variance",
        "standard_deviation",
        "minimum",
        "maximum",
        "median",
        "center_of_mass",
    ],
)
def test_measurements_of_no_part(name, index):
    agrees(f"ndimage.{name}", np.arange(1.0, 5.0), [1, 1, 2, 0], index)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_measurements_without_labels_read_no_index():
    for name in ("sum", "mean", "variance", "median", "center_of_mass"):
        ours, theirs = pair(f"ndimage.{name}")
        x = np.array([1.0, 2.0, 4.0])
        found = ours(bp.variable(x), None, [1])
        np.testing.assert_allclose(np.asarray(bp.stop_gradient(found)), theirs(x, None, [1]))
    with np.errstate(invalid="ignore"):
        assert np.isnan(bp.scipy.ndimage.median(bp.variable(np.zeros(0))).value)


@pytest.mark.filterwarnings("ignore:.*does not depend on")
def test_matrices():
    nothing = np.zeros((0, 0))
    for mode in ("full", "r", "economic"):
        agrees("linalg.qr", np.zeros((5, 0)), mode=mode)
        agrees("linalg.qr", np.zeros((0, 5)), mode=mode)
        agrees("linalg.rq", np.zeros((0, 5)), mode=mode)
    agrees("linalg.schur", nothing)
    agrees("linalg.matrix_balance", nothing)
    for lower in (False, True):
        agrees("linalg.solve_triangular", nothing, np.zeros((0, 2)), lower=lower)
        for shape in ((2, 0), (0, 0), (0, 3)):
            agrees("linalg.cholesky_banded", np.zeros(shape), lower=lower)
    agrees("linalg.solve_toeplitz", np.zeros(0), np.zeros(0))
    agrees("linalg.solve_circulant", np.zeros(0), np.zeros(0))
    agrees("linalg.matmul_toeplitz", np.zeros(0), np.zeros(0))


@pytest.mark.filterwarnings("ignore:.*does not depend on")
def test_special_matrices():
    for shape in ((0,), (1,), (5, 0), (0, 5)):
        agrees("linalg.companion", np.zeros(shape))
        agrees("linalg.fiedler", np.zeros(shape))
        agrees("linalg.fiedler_companion", np.zeros(shape))
    with pytest.raises(ValueError, match="length of `a`"):
        bp.scipy.linalg.companion(bp.variable(np.zeros(0)))
    x = np.zeros(0)
    product = bp.vjp(lambda c, r, x: bp.scipy.linalg.matmul_toeplitz((c, r), x), np.ones(2), x, x)
    np.testing.assert_array_equal(product[0], np.zeros(2))  # SciPy's are what stood in memory


@pytest.mark.parametrize("shape", [*SHAPES, (2, 0, 3), (0, 2, 2), (2, 0, 0)])
@pytest.mark.parametrize("ord", [None, "fro", "nuc", 2, -2, 1, -1, np.inf, -np.inf, 3])
def test_norms(shape, ord):
    x, axis = np.ones(shape), (-2, -1) if len(shape) > 2 else None
    with np.errstate(divide="ignore"):
        try:
            expected = np.linalg.norm(x, ord, axis)
        except ValueError:
            if ord in (1, 2, np.inf):  # the oldest NumPy: here they are 0, as in later ones
                y, _ = bp.vjp(lambda x: np.linalg.norm(x, ord, axis), x)
                np.testing.assert_array_equal(y, np.zeros(y.shape))
                return
            with pytest.raises(ValueError):  # noqa: PT011
                bp.vjp(lambda x: np.linalg.norm(x, ord, axis), x)
            return
        y, pull = bp.vjp(lambda x: np.linalg.norm(x, ord, axis), x)
        np.testing.assert_array_equal(y, expected)
        assert pull(np.ones_like(y))[0].shape == shape
