"""Distributions: values are SciPy's, derivatives by arguments and parameters, edges, refusals."""

import numpy as np
import pytest
from scipy import stats

import fastbp as bp
import fastbp.scipy.stats as bst
from fastbp.errors import NoRuleError, ShapeError
from fastbp.rules.stats.distributions import Continuous, Discrete
from fastbp.testing import check_grads

ALL = {name: getattr(bst, name) for name in bst.__all__ if hasattr(getattr(bst, name), "row")}
SHAPES = {
    "bernoulli": [0.37],
    "betabinom": [5.0, 1.3, 2.1],
    "binom": [5.0, 0.4],
    "geom": [0.37],
    "nbinom": [2.5, 0.4],
    "poisson": [1.7],
    "truncnorm": [-1.2, 1.4],
}
COUNTS = {"betabinom", "binom"}  # whose first shape is a whole number
POINTS = {
    "beta": [0.2, 0.5, 0.7],
    "pareto": [1.2, 2.0, 4.0],
    "truncnorm": [-0.7, 0.3, 0.8],
    "uniform": [0.2, 0.5, 0.7],
    "bernoulli": [0.0, 1.0],
}


def shapes_of(name):
    given = SHAPES.get(name) or [1.17 * x for x in ALL[name].row.example]
    return [np.array(x) for x in given]


def points_of(name, low):
    return np.array(POINTS.get(name, [0.3, 0.9, 1.4] if np.isfinite(low) else [-0.7, 0.3, 0.8]))


def calls_of(name):
    """Return a call of each method: its name, a function, arrays that it is differentiated by."""
    d = ALL[name]
    shapes = shapes_of(name)
    low = d.row.support(*map(float, shapes))[0]
    for method in d.methods:
        if d._formula(method) is None:
            continue
        if isinstance(d, Discrete):
            k = np.array([0.0, 1.0]) if name == "bernoulli" else np.array([1.0, 2.0, 3.0])
            k = k[:1] if name == "bernoulli" and method in ("cdf", "logcdf", "sf", "logsf") else k
            fixed = 1 if name in COUNTS else 0
            rest = shapes[:fixed]
            yield method, [k, *shapes], _of_shapes(getattr(d, method), k, rest), shapes[fixed:]
        else:
            x = np.array([0.1, 0.45, 0.8])
            if method not in ("ppf", "isf"):
                x = 1.3 * points_of(name, low) + 0.1
            arrays = [x, *shapes, np.array(0.1), np.array(1.3)]
            yield method, arrays, getattr(d, method), arrays


def _of_shapes(method, k, fixed):
    return lambda *moving: method(k, *fixed, *moving)


@pytest.mark.parametrize("name", ALL)
def test_methods(name):
    for method, everything, f, arrays in calls_of(name):
        expected = getattr(getattr(stats, name), method)(*everything)
        found = getattr(ALL[name], method)(*map(bp.variable, everything))
        np.testing.assert_allclose(found.value, expected, rtol=1e-10, atol=1e-14, err_msg=method)
        check_grads(f, tuple(arrays), order=2)


@pytest.mark.parametrize("name", ALL)
def test_moments(name):
    d, shapes = ALL[name], shapes_of(name)
    more = [np.array(0.1)] + [np.array(1.3)] * isinstance(d, Continuous)
    for moment in ("mean", "var", "entropy", "median"):
        if d._formula(moment) is None and not (moment == "median" and d._formula("ppf")):
            with pytest.raises(NoRuleError, match=f"scipy.stats.{name}.{moment} takes no Variable"):
                getattr(d, moment)(*map(bp.variable, [*shapes, *more]))
            continue
        expected = getattr(getattr(stats, name), moment)(*shapes, *more)
        found = getattr(d, moment)(*map(bp.variable, [*shapes, *more]))
        np.testing.assert_allclose(np.asarray(getattr(found, "value", found)), expected, rtol=1e-10)
        if np.isfinite(expected):
            fixed = shapes[: name in COUNTS]
            f = lambda *a, m=moment, fixed=fixed: getattr(d, m)(*fixed, *a) + 0.0 * a[0]
            check_grads(f, (*shapes[len(fixed) :], *more), order=2)


@pytest.mark.parametrize("name", [n for n, d in ALL.items() if isinstance(d, Continuous)])
def test_outside_of_the_support(name):
    d, shapes = ALL[name], shapes_of(name)
    low, high = d.row.support(*map(float, shapes))
    x = np.array([low - 1.0, 0.5 if name != "pareto" else 1.5, high + 1.0, np.nan])
    for method in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf"):
        if d._formula(method) is None:
            continue
        with np.errstate(all="ignore"):
            expected = getattr(getattr(stats, name), method)(x, *shapes)
            value, pull = bp.vjp(lambda x, m=method: getattr(d, m)(x, *shapes), x)
            slope = pull(np.ones(4))[0]
        known = np.isfinite(x) | ~np.isnan(expected)  # at infinities SciPy's may be NaN
        np.testing.assert_allclose(
            value[known], expected[known], rtol=1e-10, atol=1e-300, err_msg=method
        )
        if np.isfinite(low):
            assert slope[0] == 0.0
        if np.isfinite(high):
            assert slope[2] == 0.0
        assert np.isfinite(slope[1])


@pytest.mark.parametrize("name", [n for n, d in ALL.items() if isinstance(d, Continuous)])
@pytest.mark.parametrize("method", ["pdf", "logpdf"])
@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (-1.5, 2.0)])
def test_densities_at_the_ends_of_the_support(name, method, loc, scale):
    d, shapes = ALL[name], shapes_of(name)
    for end, inward in zip(d.row.support(*map(float, shapes)), (0.25, -0.25), strict=True):
        if not np.isfinite(end):
            continue
        x = loc + scale * np.array([end, end + inward])
        with np.errstate(all="ignore"):
            expected = getattr(getattr(stats, name), method)(x, *shapes, loc, scale)
            value, pull = bp.vjp(
                lambda x, *s: getattr(d, method)(x, *s, loc=loc, scale=scale), x, *shapes
            )
            slopes = pull(np.ones(2))
        np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-15)
        if d.row.vanishes:
            assert slopes[0][0] == 0.0
            assert all(np.all(np.isfinite(g)) for g in slopes)


@pytest.mark.parametrize("name", [n for n, d in ALL.items() if isinstance(d, Discrete)])
def test_counts_that_are_none(name):
    d, shapes = ALL[name], shapes_of(name)
    k = np.array([np.nan, 1.0, 0.5, -1.0])
    for method in ("pmf", "logpmf", "cdf", "sf", "logcdf", "logsf"):
        if d._formula(method) is None:
            continue
        with np.errstate(all="ignore"):
            expected = getattr(getattr(stats, name), method)(k, *shapes)
            found = getattr(d, method)(k, *shapes[:-1], bp.variable(shapes[-1])).value
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15, err_msg=method)


@pytest.mark.parametrize("name", [n for n, d in ALL.items() if isinstance(d, Continuous)])
def test_parameters_that_are_none(name):
    d, shapes = ALL[name], shapes_of(name)
    scale = np.array([-1.0, 0.0, 2.0])
    with np.errstate(all="ignore"):
        found = d.pdf(1.5, *shapes, scale=bp.variable(scale))
        expected = getattr(stats, name).pdf(1.5, *shapes, scale=scale)
    np.testing.assert_allclose(found.value, expected, rtol=1e-10)
    slope = bp.grad(lambda s: np.nansum(d.pdf(1.5, *shapes, scale=s)))(scale)
    assert slope[2] == bp.grad(lambda s: d.pdf(1.5, *shapes, scale=s))(2.0)


def test_far_tails():
    """Where a probability is 0 to rounding, its logarithm has a derivative all the same."""
    for d, shapes in ((bst.norm, ()), (bst.logistic, ()), (bst.expon, ())):
        g = bp.grad(lambda x, d=d, s=shapes: d.logsf(x, *s))(40.0)
        hazard = np.exp(d.logpdf(40.0, *shapes) - d.logsf(40.0, *shapes))
        np.testing.assert_allclose(g, -hazard, rtol=1e-12)
    g = bp.grad(lambda x: bst.truncnorm.logpdf(x, 30.0, 40.0))(30.5)
    np.testing.assert_allclose(g, -30.5)
    value = bst.truncnorm.logpdf(bp.variable(30.5), 30.0, 40.0).value
    np.testing.assert_allclose(value, stats.truncnorm.logpdf(30.5, 30.0, 40.0), rtol=1e-10)


def test_arguments_are_scipys():
    x = np.array([0.5, 2.0])
    v = bp.variable(x)
    for f in (
        lambda d, x: d.gamma.pdf(x, 2.0, 0.1, 1.5),
        lambda d, x: d.gamma.pdf(x, a=2.0, loc=0.1, scale=1.5),
        lambda d, x: d.gamma(2.0, scale=1.5).pdf(x),
        lambda d, x: d.gamma(a=2.0).logpdf(x=x),
        lambda d, x: d.poisson.pmf([0, 1, 2.5], mu=x[0]),
        lambda d, x: d.poisson(x[1]).cdf(3),
        lambda d, x: d.norm(x[0], x[1]).mean(),
        lambda d, x: d.norm(loc=x).ppf([0.0, 1.0]),
        lambda d, x: d.norm.stats(x, 2.0)[1] + d.norm.stats(x, 2.0, moments="m"),
        lambda d, x: d.t.median(x) + d.t.std(5.0 + x),
    ):
        np.testing.assert_allclose(np.asarray(f(bst, v).value), f(stats, x), rtol=1e-12)
        np.testing.assert_array_equal(f(bst, x), f(stats, x))
    for f in (
        lambda: bst.gamma.pdf(v),
        lambda: bst.gamma.pdf(v, 1.0, b=2.0),
        lambda: bst.gamma.pdf(v, 1.0, a=2.0),
        lambda: bst.norm.pdf(v, 1.0, 2.0, 3.0),
    ):
        with pytest.raises(TypeError, match=r"scipy.stats.(gamma|norm).pdf: "):
            f()


def test_what_has_no_formula_is_refused():
    v = bp.variable(2.0)
    for f, says in (
        (lambda: bst.norm.rvs(loc=v), r"norm.rvs takes no Variable: sample with plain parameters"),
        (lambda: bst.norm.fit(bp.variable(np.ones(3))), r"norm.fit takes no Variable: maximise"),
        (lambda: bst.poisson.ppf(0.5, v), r"poisson.ppf takes no Variable"),
        (lambda: bst.norm.stats(v, moments="s"), r"norm.stats takes no Variable"),
        (lambda: stats.norm.pdf(v), r"write fastbp.scipy.stats.norm.pdf"),
        (lambda: stats.gamma(v).logpdf(1.0), r"write fastbp.scipy.stats.gamma"),
    ):
        with pytest.raises(NoRuleError, match=says):
            f()
    assert bst.norm.rvs(size=3, random_state=0).shape == (3,)
    assert bst.norm.a == -np.inf


# ---- of vectors


def covariance(rng, n):
    a = rng.normal(size=(n, n))
    return a @ a.T + np.eye(n)


def test_multivariate_normal(rng):
    mean, cov = rng.normal(size=3), covariance(rng, 3)
    for x in (rng.normal(size=3), rng.normal(size=(2, 4, 3))):
        for method in ("pdf", "logpdf"):
            expected = getattr(stats.multivariate_normal, method)(x, mean, cov)
            f = lambda x, m, c, method=method: getattr(bst.multivariate_normal, method)(
                x, m, 0.5 * (c + c.T)
            )
            found = f(*map(bp.variable, (x, mean, cov)))
            np.testing.assert_allclose(found.value, expected, rtol=1e-10)
            check_grads(f, (x, mean, cov), order=2)
    v = bp.variable(np.array([0.3, -0.2]))
    for mean, cov in ((0.0, 2.0), (None, 1.5), ([0.1], [[2.0]])):
        found = bst.multivariate_normal.logpdf(v, mean, cov)
        expected = stats.multivariate_normal.logpdf(v.value, mean, cov)
        np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    found = bst.multivariate_normal(v, [1.0, 2.0]).logpdf([0.0, 0.0])
    expected = stats.multivariate_normal(v.value, [1.0, 2.0]).logpdf([0.0, 0.0])
    np.testing.assert_allclose(found.value, expected, rtol=1e-12)
    cov = covariance(rng, 2)
    entropy = lambda c: bst.multivariate_normal.entropy(np.zeros(2), 0.5 * (c + c.T))
    check_grads(entropy, (cov,), order=2)
    np.testing.assert_allclose(entropy(bp.variable(cov)).value, entropy(cov))
    with pytest.raises(NoRuleError, match=r"multivariate_normal.cdf takes no Variable"):
        bst.multivariate_normal.cdf(v)
    with pytest.raises(ShapeError, match=r"does not fit mean"):
        bst.multivariate_normal.logpdf(v, np.zeros(3), np.eye(3))
    with pytest.raises(ValueError, match="not symmetric"):
        bst.multivariate_normal.logpdf(v, np.zeros(2), [[1.0, 0.5], [0.0, 1.0]])


def test_multivariate_normal_of_a_singular_covariance(rng):
    axes = rng.normal(size=(4, 2))
    cov, mean = axes @ axes.T, rng.normal(size=4)
    theirs, ours = stats.multivariate_normal, bst.multivariate_normal
    for method in ("pdf", "logpdf"):
        for at in (rng.normal(size=2), rng.normal(size=(3, 2))):
            # x and the mean move within the plane that has the mass.
            f = lambda at, m, method=method: getattr(ours, method)(
                at @ axes.T, axes @ m, cov, allow_singular=True
            )
            m = rng.normal(size=2)
            found = f(bp.variable(at), bp.variable(m))
            expected = getattr(theirs, method)(at @ axes.T, axes @ m, cov, allow_singular=True)
            np.testing.assert_allclose(found.value, expected, rtol=1e-9)
            check_grads(f, (at, m), order=2)
    outside = bp.variable(mean + np.ones(4))
    assert ours.logpdf(outside, mean, cov, allow_singular=True).value == -np.inf
    value, gradient = bp.value_and_grad(lambda x: ours.pdf(x, mean, cov, True))(outside.value)
    assert value == 0.0
    assert not gradient.any()
    regular = covariance(rng, 3)
    x = rng.normal(size=3)
    check_grads(lambda x, c: ours.logpdf(x, np.zeros(3), 0.5 * (c + c.T), True), (x, regular))
    np.testing.assert_allclose(
        ours.logpdf(bp.variable(x), None, regular, True).value, theirs.logpdf(x, None, regular)
    )
    with pytest.raises(NoRuleError, match="a singular cov has no derivative"):
        ours.logpdf(np.zeros(4), mean, bp.variable(cov), allow_singular=True)
    with pytest.raises(ValueError, match="positive semidefinite"):
        ours.logpdf(bp.variable(np.zeros(2)), None, np.diag([1.0, -1.0]), allow_singular=True)


def test_dirichlet(rng):
    alpha = rng.uniform(1.5, 3.0, 3)
    x = rng.dirichlet(alpha, 4).T
    for method in ("pdf", "logpdf"):
        for given in (x, x[:-1], x[:, 0]):
            expected = getattr(stats.dirichlet, method)(given, alpha)
            found = getattr(bst.dirichlet, method)(*map(bp.variable, (given, alpha)))
            np.testing.assert_allclose(found.value, expected, rtol=1e-10)
        check_grads(getattr(bst.dirichlet, method), (x[:-1], alpha), order=2)
    for method in ("mean", "var", "entropy"):
        expected = getattr(stats.dirichlet, method)(alpha)
        np.testing.assert_allclose(
            getattr(bst.dirichlet, method)(bp.variable(alpha)).value, expected
        )
        check_grads(getattr(bst.dirichlet, method), (alpha,), order=2)
    with pytest.raises(ValueError, match="alpha must be"):
        bst.dirichlet.logpdf(x, bp.variable(-alpha))


def test_multinomial(rng):
    p = np.array([0.2, 0.5, 0.3])
    for x in ([1, 2, 0], [[1, 2, 0], [0, 0, 3]]):
        for method in ("pmf", "logpmf"):
            f = lambda p, x=x, method=method: getattr(bst.multinomial, method)(x, 3, p)
            expected = getattr(stats.multinomial, method)(x, 3, p)
            np.testing.assert_allclose(f(bp.variable(p)).value, expected)
            check_grads(lambda q, f=f: f(np.append(q, 1.0 - np.sum(q))), (p[:2],), order=2)
