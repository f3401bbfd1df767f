"""Filters and convolutions beside independent implementations, and what samples do not reach."""

import numpy as np
import pytest
import scipy.signal

import fastbp as bp
import fastbp.scipy.signal as bsig
from fastbp.errors import DTypeError, NoRuleError, ShapeError
from fastbp.testing import check_grads


def by_steps(b, a, x):
    """Filter by the difference equation itself."""
    y = []
    for n in range(len(x)):
        v = sum(b[k] * x[n - k] for k in range(min(len(b), n + 1)))
        v = v - sum(a[k] * y[n - k] for k in range(1, min(len(a), n + 1)))
        y.append(v / a[0])
    return np.stack(y)


def test_lfilter_is_the_difference_equation(rng):
    b, a, x = rng.normal(size=4), np.array([1.5, 0.4, -0.3, 0.1, 0.05]), rng.normal(size=12)
    w = rng.normal(size=12)

    def loss(f):
        return lambda b, a, x: np.sum(w * np.sin(f(b, a, x)))

    found, expected = (bp.grad(loss(f), (0, 1, 2))(b, a, x) for f in (bsig.lfilter, by_steps))
    for g, h in zip(found, expected, strict=True):
        np.testing.assert_allclose(g, h, rtol=1e-12, atol=1e-13)
    found, expected = (bp.hessian(loss(f), 1)(b, a, x) for f in (bsig.lfilter, by_steps))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_few_lags_of_many_samples_add_up_in_double_precision(dtype, rng):
    n = 20_000
    x = (1.0 + 0.1 * rng.normal(size=n)).astype(dtype)
    b = np.array([0.5, 0.25], dtype)
    _, pull = bp.vjp(lambda b: bsig.lfilter(b, np.ones(1, dtype), x), b)
    g = np.ones(n, dtype)
    found = pull(g)[0]
    exact = np.array([np.sum(x.astype(complex)), np.sum(x[:-1].astype(complex))])
    np.testing.assert_allclose(found, exact, rtol=2e-7)


def test_states_carry_a_signal_on(rng):
    """What is filtered in two parts is what is filtered at once, with its derivatives."""
    b, a = np.array([0.5, 0.3, 0.1]), np.array([1.0, 0.4, -0.3])
    x, zi = rng.normal(size=9), rng.normal(size=2)

    def at_once(b, a, x, zi):
        return bsig.lfilter(b, a, x, zi=zi)[0]

    def in_parts(b, a, x, zi):
        y, z = bsig.lfilter(b, a, x[:1], zi=zi)
        z = bsig.lfilter(b, a, x[1:5], zi=z)
        return np.concatenate([y, z[0], bsig.lfilter(b, a, x[5:], zi=z[1])[0]])

    args = b, a, x, zi
    g = rng.normal(size=9)
    for p, q in zip(bp.vjp(at_once, *args)[1](g), bp.vjp(in_parts, *args)[1](g), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-12, atol=1e-12)


def test_sections_by_their_coefficients(rng):
    x = rng.normal(size=(2, 20))
    sections = [[0.5, -0.3, 0.2, 1.0, 0.4, -0.3], [1.5, 0.7, 0.1, 1.0, -0.2, 0.1]]

    def made(c):
        rows = [np.concatenate([c[k, :3], np.ones(1), c[k, 3:]]) for k in range(2)]
        return np.stack(rows)

    c = np.delete(np.array(sections), 3, 1)
    check_grads(lambda c, x: bsig.sosfilt(made(c), x), (c, x))
    check_grads(lambda c, x: bsig.sosfiltfilt(made(c), x), (c, x))
    if hasattr(scipy.signal, "freqz_sos"):  # SciPy 1.15
        check_grads(lambda c: np.abs(bsig.freqz_sos(made(c), [0.5, 0.8])[1]), (c,))


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("sizes", [(5000, 900), (900, 5000), ((90, 70), (31, 24))])
def test_long_cotangents_are_convolved_by_transforms(mode, sizes, rng):
    """The adjoint is exact to rounding of its largest terms: <A x, y> is <x, A' y>."""
    a, v = (rng.normal(size=n) for n in sizes)
    for own, other in ((a, v), (v, a)):

        def f(x, own=own, other=other):
            return bsig.convolve(*((x, other) if own is a else (other, x)), mode)

        y, pull = bp.vjp(f, own)
        g = rng.normal(size=y.shape)
        scale = np.linalg.norm(g) * np.linalg.norm(a) * np.linalg.norm(v)
        assert abs(np.sum(g * y) - np.sum(pull(g)[0] * own)) < 1e-13 * scale


def test_what_is_not_finite_stays_where_it_is(rng):
    x, v = rng.normal(size=(80, 60)), rng.normal(size=(21, 20))
    v[0, 0] = np.inf
    _, pull = bp.vjp(lambda x: bsig.convolve(x, v, method="direct"), x)
    found = pull(np.ones((100, 79)))[0]
    assert np.isinf(found).all()
    _, pull = bp.vjp(lambda x: bsig.convolve(x, rng.normal(size=(21, 20))), x)
    g = np.zeros((100, 79))
    g[0, 0] = np.nan
    assert np.isnan(pull(g)[0]).sum() == 1


def test_windows_may_be_recorded(rng):
    x, window = rng.normal(size=12), rng.uniform(0.5, 1.0, 4)
    spectrum = rng.uniform(0.5, 1.0, 12)
    check_grads(lambda x, w: np.abs(bsig.stft(x, window=w, nperseg=4)[2]) ** 2, (x, window))
    check_grads(lambda x, w: bsig.resample(x, 8, window=w), (x, spectrum))
    z = bsig.stft(x, window=window, nperseg=4)[2]
    check_grads(lambda w: bsig.istft(z, window=w, nperseg=4)[1], (window,))


def test_a_signal_comes_back_from_its_transform(rng):
    x = rng.normal(size=40)
    found = bp.jacobian(lambda x: bsig.istft(bsig.stft(x, nperseg=8)[2], nperseg=8)[1][:40])(x)
    np.testing.assert_allclose(found, np.eye(40), atol=1e-12)


def test_refusals_name_the_function():
    x = bp.variable(np.arange(20.0))
    with pytest.raises(NoRuleError, match=r"scipy\.signal\.filtfilt: with method='gust'"):
        bsig.filtfilt(x, [1.0, 0.5], np.ones(9), method="gust")
    with pytest.raises(ValueError, match=r"scipy\.signal\.upfirdn: Unknown mode: mirror"):
        bsig.upfirdn([1.0], x, mode="mirror")
    with pytest.raises(NoRuleError, match=r"scipy\.signal\.find_peaks: width="):
        bsig.find_peaks(x, width=1)
    with pytest.raises(DTypeError, match=r"scipy\.signal\.hilbert: x has dtype complex128"):
        bsig.hilbert(bp.variable(np.ones(3) + 1j))
    with pytest.raises(ValueError, match="same dimensionality"):
        bsig.convolve(x, np.ones((2, 2)))
    np.testing.assert_array_equal(
        bsig.find_peaks(x * np.sin(x))[0], scipy.signal.find_peaks(x.value * np.sin(x.value))[0]
    )


MODES = ("edge", "reflect", "symmetric", "wrap", "antisymmetric", "antireflect", "line", "smooth")


@pytest.mark.parametrize("mode", ["constant", *MODES])
@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_upfirdn_beyond_the_ends_is_scipys(n, mode, rng):
    """Also where the filter is longer than the signal, which then comes several times."""
    cval = 1.5 if mode == "constant" else 0
    x, w = rng.normal(size=(2, n)), rng.normal(size=30)
    for size in (1, 2, 9, 30):
        for up, down in ((1, 1), (2, 3), (3, 2), (4, 6), (1, 5)):
            h = w[:size]

            def f(h, x, up=up, down=down):
                return bsig.upfirdn(h, x, up, down, mode=mode, cval=cval)

            expected = f(h, x)
            np.testing.assert_allclose(bp.vjp(f, h, x)[0], expected, rtol=1e-11, atol=1e-12)
    check_grads(f, (h, x), order=1)


@pytest.mark.parametrize("padtype", ["constant", "mean", *MODES])
def test_resample_poly_pads_as_scipy(padtype, rng):
    x, cval = rng.normal(size=(9, 2)), 2.0 if padtype == "constant" else None

    def f(x):
        return bsig.resample_poly(x, 3, 2, padtype=padtype, cval=cval)

    np.testing.assert_allclose(bp.vjp(f, x)[0], f(x), rtol=1e-11, atol=1e-12)
    check_grads(f, (x,), order=1)


@pytest.mark.parametrize(
    ("b", "a", "irlen"),
    [
        ([1.0, 0.2], [1.0, 0.3], None),
        ([1.0], [1.0, 0.3, 0.1], 4),
        ([0.3, 0.2, 0.3], [2.0, -0.5, 0.3], 20),
        ([1.0, 0.4, 0.2], [1.0], None),
        ([2.0], [4.0], None),
    ],
)
def test_gustafssons_method(b, a, irlen, rng):
    x = rng.normal(size=(2, 15, 2))

    def f(x):
        return bsig.filtfilt(b, a, x, 1, method="gust", irlen=irlen)

    np.testing.assert_allclose(bp.vjp(f, x)[0], f(x), rtol=1e-9, atol=1e-10)
    check_grads(f, (x,), order=1)


@pytest.mark.filterwarnings("ignore:Badly conditioned")
@pytest.mark.parametrize("name", ["lp2lp", "lp2hp", "lp2bp", "lp2bs"])
@pytest.mark.parametrize("b", [[0.3, 0.2, 0.1, 0.4], [0.2, 0.0], [1.0]])
@pytest.mark.parametrize("a", [[2.0, 0.5, 1.5], [1.0, 0.4]])
def test_other_bands_of_a_prototype(name, b, a):
    frequencies = [np.array(2.0), np.array(0.7)] if "b" in name[3:] else [np.array(2.0)]
    given = [np.array(b), np.array(a), *frequencies]
    f, theirs = getattr(bsig, name), getattr(scipy.signal, name)
    for found, expected in zip(bp.vjp(f, *given)[0], theirs(b, a, *given[2:]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    if 0.0 not in b:  # where SciPy leaves out what is zero
        check_grads(f, tuple(given), order=2)


def test_frequencies_of_a_prototype_are_numbers():
    w = bp.variable(np.ones(2))
    with pytest.raises(ShapeError, match=r"scipy\.signal\.lp2lp: wo must be a number"):
        bsig.lp2lp([1.0], [1.0, 1.0], w)


def test_bilinear_by_the_rate():
    check_grads(lambda fs: bsig.bilinear([1.0, 0.5], [1.0, 0.4, 2.0], fs[()]), (np.array(3.0),))
