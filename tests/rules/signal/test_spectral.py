"""Cross spectra of signals of several shapes: values are SciPy's."""

import itertools

import numpy as np
import pytest
import scipy.signal

import fastbp as bp
import fastbp.scipy.signal as own
from fastbp.errors import ShapeError
from fastbp.testing import check_grads

SHAPES = [(8,), (11,), (2, 8), (8, 8), (3, 2, 8), (8, 2), (1, 8), (2, 1, 8)]
GIVEN = [{}, {"nperseg": 4, "detrend": lambda x: x - 0.1}, {"nperseg": 3, "average": "median"}]


@pytest.mark.filterwarnings("ignore:nperseg")
@pytest.mark.parametrize("axis", [-1, 0, 1, -2])
@pytest.mark.parametrize("name", ["csd", "coherence"])
@pytest.mark.parametrize("given", GIVEN, ids=["plain", "detrended", "median"])
def test_signals_of_different_ranks(rng, name, axis, given):
    function, reference = getattr(own, name), getattr(scipy.signal, name)
    if name == "coherence":
        given = {k: v for k, v in given.items() if k != "average"}
    for a, b in itertools.product(SHAPES, SHAPES):
        if name == "coherence" and 1 in (s[axis] for s in (a, b) if -len(s) <= axis < len(s)):
            continue  # 0 / 0 of a segment of one number
        x, y = rng.normal(size=a), rng.normal(size=b)
        if len(a) != len(b) and axis >= 0:
            with pytest.raises(ValueError, match="axis"):
                bp.vjp(lambda x, y=y: function(x, y, axis=axis, **given)[1], x)
            continue
        if len(a) != len(b) and -axis <= min(len(a), len(b)) and a[axis] != b[axis]:
            with pytest.raises(ShapeError, match="one length along an axis"):  # 1.13 fills up
                bp.vjp(lambda x, y=y: function(x, y, axis=axis, **given)[1], x)
            continue
        try:
            want = reference(x, y, axis=axis, **given)[1]
        except (ValueError, IndexError):
            continue
        for found in (
            bp.vjp(lambda x, y=y: function(x, y, axis=axis, **given)[1], x)[0],
            bp.vjp(lambda y, x=x: function(x, y, axis=axis, **given)[1], y)[0],
        ):
            np.testing.assert_allclose(found, want, rtol=1e-8, atol=1e-12)


def test_gradients_of_signals_of_different_ranks(rng):
    x, y = rng.normal(size=6), rng.normal(size=(2, 6))
    check_grads(lambda x, y: own.csd(x, y, nperseg=3)[1], (x, y))
    check_grads(lambda x, y: own.coherence(y, x, nperseg=3)[1], (x, y))


def test_errors_of_signals_of_different_ranks(rng):
    x, y = rng.normal(size=8), rng.normal(size=(8, 2))
    with pytest.raises(
        ShapeError, match=r"csd: signals of shapes \(8,\) and \(8, 2\).*axis=0.*x\["
    ):
        bp.vjp(lambda x: own.csd(x, y, nperseg=4, axis=0)[1], x)
    with pytest.raises(ShapeError, match=r"coherence: .*one length along an axis < 0"):
        bp.vjp(lambda x: own.coherence(x, y, nperseg=2)[1], x)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
@pytest.mark.parametrize("axis", [0, -1])
def test_spectra_of_nothing(shape, axis):
    a = np.zeros(shape)
    for name in ("welch", "periodogram", "csd", "coherence"):
        given = (a,) if name in ("welch", "periodogram") else (a, a)
        expected = getattr(scipy.signal, name)(*given, axis=axis)
        found = getattr(own, name)(*map(bp.variable, given), axis=axis)
        assert [x.shape for x in found] == [x.shape for x in expected], name
    x = np.zeros((2, 8))
    for given in ((a, x), (x, a)) if shape == (2, 0) and axis == -1 else ():
        expected = scipy.signal.csd(*given)
        assert own.csd(bp.variable(given[0]), given[1])[1].shape == expected[1].shape
        with pytest.raises(ShapeError, match=r"coherence: x of shape .* both or none"):
            own.coherence(bp.variable(given[0]), given[1])


@pytest.mark.filterwarnings("ignore:Input data is complex")
@pytest.mark.parametrize("dtype", ["?", "u1", "i2", "u2", "i4", "f2", "f4", "f8", "F", "D"])
@pytest.mark.parametrize(
    "name", ["welch", "periodogram", "csd", "coherence", "spectrogram", "stft"]
)
def test_dtypes_follow_from_the_data_as_they_are_given(name, dtype, rng):
    x = np.maximum(20.0 * rng.normal(size=24), 0.0).astype(dtype)
    given = (x, x[::-1]) if name in ("csd", "coherence") else (x,)
    options = {} if name == "periodogram" else {"nperseg": 24 // 2}
    for of_window in (np.float64, np.float32):
        window = rng.uniform(0.5, 1.0, options.get("nperseg", 24)).astype(of_window)
        expected = getattr(scipy.signal, name)(*given, window=window, **options)
        found = getattr(own, name)(*given, window=bp.variable(window), **options)
        for a, b in zip(found, expected, strict=True):
            a = a.value if isinstance(a, bp.Variable) else a
            assert a.dtype == b.dtype
            size = np.max(abs(b))
            np.testing.assert_allclose(a, b, rtol=0, atol=5e-6 * size)
