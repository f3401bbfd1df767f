"""What is chosen by rank: equal elements share equally, NaN is refused."""

import numpy as np
import pytest
from scipy import ndimage, signal

import fastbp as bp
import fastbp.scipy.ndimage as bnd
import fastbp.scipy.signal as bsignal
from fastbp.errors import NoRuleError

LABELS = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
FILTERS = {
    "maximum_filter": lambda m, x: m.maximum_filter(x, 3),
    "minimum_filter": lambda m, x: m.minimum_filter(x, 3, mode="wrap"),
    "maximum_filter1d": lambda m, x: m.maximum_filter1d(x, 3, mode="constant"),
    "minimum_filter1d": lambda m, x: m.minimum_filter1d(x, 4, mode="mirror"),
    "median_filter": lambda m, x: m.median_filter(x, 3),
    "percentile_filter": lambda m, x: m.percentile_filter(x, 40, 4, mode="nearest"),
    "rank_filter": lambda m, x: m.rank_filter(x, 1, 3, mode="constant", cval=2.0),
}
PARTS = {
    "maximum": lambda m, x: m.maximum(x, LABELS, [2, 0, 1]),
    "minimum": lambda m, x: m.minimum(x, LABELS, [2, 0, 1]),
    "median": lambda m, x: m.median(x, LABELS, [2, 0, 1]),
    "maximum of all": lambda m, x: np.reshape(m.maximum(x), 1),
    "minimum of positive": lambda m, x: np.reshape(m.minimum(x, LABELS), 1),
    "median of one": lambda m, x: np.reshape(m.median(x, LABELS, 2), 1),
}
SIGNALS = {
    "medfilt": lambda m, x: m.medfilt(x, 3),
    "medfilt2d": lambda m, x: m.medfilt2d(x.reshape(3, 3), 3).reshape(-1),
    "order_filter": lambda m, x: m.order_filter(x, np.ones(3), 2),
}
CASES = [
    pytest.param(f, plain, recorded, id=name)
    for table, plain, recorded in (
        (FILTERS, ndimage, bnd), (PARTS, ndimage, bnd), (SIGNALS, signal, bsignal),
    )
    for name, f in table.items()
]  # fmt: skip
TIED = [
    np.array([1.0, 2.0, 2.0, 2.0, 1.0, 3.0, 3.0, 1.0, 3.0]),
    np.full(9, 0.1),
    np.array([0.1, 0.1, 0.1, np.inf, np.inf, -np.inf, 0.2, 0.1, 0.2]),
]


@pytest.mark.parametrize(("f", "plain", "recorded"), CASES)
def test_equal_elements_share_equally(f, plain, recorded):
    def of_variables(x):
        return f(recorded, x)

    def total(x):
        y = of_variables(x)
        return np.sum(y[-3:] * np.array([3.0, 1.0, 2.0])[-len(y) :])

    for x in (*TIED, np.arange(9.0)[[3, 1, 4, 0, 5, 8, 2, 6, 7]]):
        y, pull = bp.vjp(of_variables, x)
        np.testing.assert_array_equal(y, f(plain, x))
        jac = np.stack([pull(e)[0] for e in np.eye(len(y))])
        np.testing.assert_allclose(bp.jacobian(of_variables, mode="forward")(x), jac, atol=1e-15)
        np.testing.assert_allclose(bp.jacobian(of_variables, mode="reverse")(x), jac, atol=1e-15)
        for row, value in zip(jac, y, strict=True):
            if np.isin(value, x) and f is not PARTS["median"]:  # that is a mean of two
                shares = row[x == value]
                assert (row[x != value] == 0.0).all()
                assert len(set(np.round(shares[shares != 0.0], 12))) <= 2  # as it is there twice
                assert shares.sum() == pytest.approx(1.0) or shares.sum() < 1.0
        compiled, slope = bp.compile(of_variables), bp.compile(bp.grad(total))
        for at in (x, *TIED):
            np.testing.assert_array_equal(compiled(at), f(plain, at))
            np.testing.assert_allclose(slope(at), bp.grad(total)(at), atol=1e-14)


def test_shares_of_equal_elements():
    x = np.array([1.0, 3.0, 3.0, 0.0])
    np.testing.assert_array_equal(bp.grad(bnd.maximum)(x), [0.0, 0.5, 0.5, 0.0])
    np.testing.assert_array_equal(bp.grad(bnd.median)(np.ones(4)), [0.25] * 4)
    found = bp.jacobian(lambda x: bnd.maximum_filter(x, 3))(x)
    np.testing.assert_array_equal(found[1], [0.0, 0.5, 0.5, 0.0])
    np.testing.assert_array_equal(found[0], [0.0, 1.0, 0.0, 0.0])
    # With a constant that is as large, half of the slope is the constant's.
    found = bp.jacobian(lambda x: bnd.maximum_filter(x, 3, mode="constant", cval=3.0))(x[1:])
    np.testing.assert_allclose(found[0], [1 / 3, 1 / 3, 0.0], rtol=1e-15)


@pytest.mark.parametrize(("f", "plain", "recorded"), CASES)
def test_nan_is_refused(f, plain, recorded):
    x = np.array([3.0, 1.0, np.nan, 0.0, 5.0, 8.0, np.nan, 6.0, 7.0])
    with pytest.raises(NoRuleError, match="NaN has no order"):
        bp.vjp(lambda x: f(recorded, x), x)
    slope = bp.compile(bp.grad(lambda x: np.sum(f(recorded, x))))
    slope(np.arange(9.0))
    with pytest.raises(NoRuleError, match="NaN has no order"):
        slope(x)
    compiled = bp.compile(lambda x: f(recorded, x))
    for at in (np.arange(9.0), x):
        np.testing.assert_array_equal(compiled(at), f(plain, at))
    np.testing.assert_array_equal(f(recorded, x), f(plain, x))


def test_members_of_a_batch_with_and_without_equal_elements():
    xs = np.stack(TIED)
    for f in (*FILTERS.values(), *PARTS.values()):
        np.testing.assert_array_equal(
            bp.vmap(lambda x, f=f: f(bnd, x))(xs), np.stack([f(ndimage, x) for x in xs])
        )
        mapped = bp.vmap(bp.grad(lambda x, f=f: np.sum(f(bnd, x))))(xs)
        for found, x in zip(mapped, xs, strict=True):
            expected = bp.grad(lambda x, f=f: np.sum(f(bnd, x)))(x)
            np.testing.assert_allclose(found, expected, atol=1e-15)
