"""Chains of Jacobians: products in any order, sweeps, long chains, what is refused."""

import functools
import itertools
import threading

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp as bp
from fastbp.chain import ordering
from fastbp.errors import DTypeError, ShapeError

from .test_factors import DTYPES, MAKERS, SQUARE, made, near

c = bp.chain


def a_chain(rng, count, dtype=np.float64, size=6, square=False):
    """Return factors of random kinds and their dense matrices."""
    factors, arrays = [], []
    m = size
    while len(factors) < count:
        name = sorted(MAKERS)[rng.integers(len(MAKERS))]
        n = m if square else int(rng.integers(1, size + 1))
        if MAKERS[name] in SQUARE:
            n = m
        factor, array = made(name, rng, m, n, dtype)
        if factor.shape[0] == m and (not square or factor.shape == (m, m)):
            factors.append(factor)
            arrays.append(array)
            m = factor.shape[1]
    return factors, arrays


def product(arrays):
    return functools.reduce(np.matmul, arrays)


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(0, 2**32), st.sampled_from(DTYPES))
def test_chains_of_any_kinds(count, seed, dtype):
    rng = np.random.default_rng(seed)
    factors, arrays = a_chain(rng, count, dtype)
    full, chain = product(arrays), c.JacobianChain(factors)
    assert len(chain) == count
    assert chain.shape == full.shape
    assert chain.dtype == dtype
    for how in ordering.ORDERS:
        found = chain.product(how)
        assert found.dtype == dtype
        near(found.to_dense(), full, dtype)
    near(c.product(factors).to_dense(), full, dtype)
    near(chain.T.product().to_dense(), full.T, dtype)
    near(chain.to_dense(), full, dtype)
    m, n = full.shape
    for lead in ((), (1,), (3,), (50,), (0,)):
        g, v = rng.standard_normal((*lead, m)), rng.standard_normal((*lead, n))
        for got, expected in ((chain.vjp(g), g @ full), (chain.jvp(v), v @ full.T)):
            assert got.dtype == dtype
            assert got.shape == expected.shape
            near(got, expected, dtype)
    mantissa, log_scale = chain.scaled_product()
    near(mantissa.to_dense() * np.exp(log_scale), full, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lead", [(), (1,), (4,)])
def test_partial_products_and_every_cotangent(lead, dtype, rng):
    for count in (1, 2, 7):
        factors, arrays = a_chain(rng, count, dtype)
        chain = c.JacobianChain(factors)
        for i, (prefix, suffix) in enumerate(zip(chain.prefixes(), chain.suffixes(), strict=True)):
            near(prefix.to_dense(), product(arrays[: i + 1]), dtype)
            near(suffix.to_dense(), product(arrays[i:]), dtype)
        g = rng.standard_normal((*lead, chain.shape[0])).astype(dtype)
        before = g.copy()
        found = chain.vjps(g)
        assert len(found) == count + 1
        for i, x in enumerate(found):
            assert x.dtype == dtype
            near(x, functools.reduce(np.matmul, arrays[:i], g), dtype)
            x[...] = 0.0  # nobody else's
        np.testing.assert_array_equal(g, before)
        assert not any(np.shares_memory(x, g) for x in found)


def test_every_kind_in_a_sweep(rng):
    for name in MAKERS:
        factor, array = made(name, rng, 5, 5, np.float64)
        chain = c.JacobianChain([np.ones((2, 5)), factor, factor.T, np.ones((5, 2)).copy("F")])
        full = np.ones((2, 5)) @ array @ array.T @ np.ones((5, 2))
        near(chain.vjp(np.eye(2)), full, np.float64)
        near(chain.jvp(np.eye(2)), full.T, np.float64)
        near(chain.vjps(np.ones(2))[-1], np.ones(2) @ full, np.float64)


def test_memory_orders_in_a_sweep(rng):
    a = rng.standard_normal((12, 12))
    views = [a[:5, :7], a.T[:5, :7], a[::2, ::2], a[:5, :1], a[:1], a[::-1], a[:, ::-1]]
    views += [a[:, 2:3].T, np.broadcast_to(a[0], (4, 12)), np.broadcast_to(a[:1, :1], (3, 3))]
    for x in views:
        g, v = rng.standard_normal(x.shape[0]), rng.standard_normal(x.shape[1])
        near(c.JacobianChain([x]).vjp(g), g @ x, np.float64)
        near(c.JacobianChain([x]).jvp(v), x @ v, np.float64)
        d = rng.standard_normal(24)[::2][: x.shape[0]]
        if len(d) == x.shape[0]:
            near(c.JacobianChain([c.RowScaled(d, x)]).vjp(g), (g * d) @ x, np.float64)


# ---- a sequence


def test_slices_and_sums_of_chains(rng):
    factors, arrays = a_chain(rng, 6)
    chain = c.JacobianChain(factors)
    assert list(chain) == factors
    assert chain.factors == tuple(factors)
    assert chain[2] is factors[2]
    assert chain[-1] is factors[-1]
    near(chain[1:4].product().to_dense(), product(arrays[1:4]), np.float64)
    again = chain[:2] + chain[2:]
    assert list(again) == factors
    assert "of 6 links" in repr(chain)
    with pytest.raises(ShapeError, match="no links"):
        chain[3:3]
    with pytest.raises(ValueError, match="step 2"):
        chain[::2]
    with pytest.raises(IndexError):
        chain[6]
    with pytest.raises(TypeError):
        chain + factors


def test_as_an_operator_of_scipy(rng):
    factors, arrays = a_chain(rng, 5)
    full, op = product(arrays), c.JacobianChain(factors).to_linear_operator()
    assert op.shape == full.shape
    v, g = rng.standard_normal(full.shape[1]), rng.standard_normal(full.shape[0])
    near(op @ v, full @ v, np.float64)
    near(op.rmatvec(g), g @ full, np.float64)
    near(op @ np.eye(full.shape[1]), full, np.float64)
    near(op.rmatmat(np.eye(full.shape[0])), full.T, np.float64)
    near(op @ v[:, None], full @ v[:, None], np.float64)
    near(c.product([op, np.eye(full.shape[1])]).to_dense(), full, np.float64)
    chain = c.JacobianChain(factors)
    near(chain @ v, full @ v, np.float64)
    near(g @ chain, g @ full, np.float64)
    near(chain @ np.eye(full.shape[1]), full, np.float64)
    near(np.eye(full.shape[0]) @ chain, full, np.float64)


# ---- orders


def test_the_order_of_a_bottleneck():
    dims = [200, 200, 200, 2, 200, 200, 200]
    chain = c.JacobianChain([np.ones(shape) for shape in itertools.pairwise(dims)])
    found = chain.explain()
    assert found.chosen.brackets == "((0 (1 2)) ((3 4) 5))"
    assert found.chosen.flops < found.left_to_right.flops
    text = str(found)
    for part in ("chosen", "left to right", "right to left", "flops", "bytes", "((0 (1 2))"):
        assert part in text


def test_a_vector_at_an_end_makes_it_reverse_or_forward_mode():
    square = [np.ones((200, 200)) for _ in range(5)]
    assert c.JacobianChain([np.ones((1, 200)), *square]).explain().chosen.brackets == (
        "(((((0 1) 2) 3) 4) 5)"
    )
    assert c.JacobianChain([*square, np.ones((200, 1))]).explain().chosen.brackets == (
        "(0 (1 (2 (3 (4 5)))))"
    )


def test_equal_factors_are_squared(rng):
    a = rng.standard_normal((30, 30)) / 6
    link = c.Dense(a)
    chain = c.JacobianChain([link] * 1000)
    near(chain.product().to_dense(), np.linalg.matrix_power(a, 1000), np.float64)
    assert chain.explain().chosen.products <= 2 * 10
    pair = [link, c.Diagonal(np.ones(30))] * 32
    assert c.JacobianChain(pair).explain().chosen.products <= 8
    inside = [np.ones((1, 30)) @ a, *[link] * 64]
    near(c.product([np.ones((1, 30)), *inside[1:]]).to_dense(),
         np.ones((1, 30)) @ np.linalg.matrix_power(a, 64), np.float64)  # fmt: skip


@pytest.mark.parametrize("count", [2, 3, 40, 700])
def test_long_chains_of_many_sizes(count, rng):
    dims = rng.integers(1, 9, count + 1)
    arrays = [rng.standard_normal(shape) / 3 for shape in itertools.pairwise(dims)]
    chain = c.JacobianChain(arrays)
    full = product(arrays)
    scale = np.max(np.abs(full))
    assert scale > 0
    np.testing.assert_allclose(chain.product().to_dense() / scale, full / scale, atol=1e-9)
    found = chain.explain()
    assert found.chosen.seconds <= found.left_to_right.seconds * 1.001
    assert found.chosen.seconds <= found.right_to_left.seconds * 1.05


def test_different_links_of_one_structure_are_not_taken_for_equal(rng):
    bands = [c.Banded(rng.standard_normal((500, 3)), 1, 1) for _ in range(16)]
    exact = ordering.order([b.structure for b in bands], range(16), "exact")
    assert len(exact.products) == 15
    near(c.product(bands).to_dense(), product([b.to_dense() for b in bands]), np.float64)


# ---- 10 000 steps


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_ten_thousand_steps_neither_overflow_nor_underflow(scale, rng):
    arrays = scale * rng.standard_normal((10_000, 3, 3))
    chain = c.JacobianChain(list(arrays))
    mantissa, log_scale = chain.scaled_product()
    full, exponent = np.eye(3), 0.0
    for a in arrays:
        full = full @ a
        size = np.max(np.abs(full))
        full, exponent = full / size, exponent + np.log(size)
    found = mantissa.to_dense()
    size = np.max(np.abs(found))
    assert 0.1 < size < 10
    np.testing.assert_allclose(np.log(size) + log_scale, exponent, rtol=1e-12)
    np.testing.assert_allclose(found / size, full, atol=1e-6)
    log_norms = chain.norms(2)
    np.testing.assert_allclose(
        log_norms.cumulative[-1], np.log(np.linalg.norm(full, 2)) + exponent, rtol=1e-10
    )
    g = chain.vjp(np.zeros(3))
    np.testing.assert_array_equal(g, 0.0)
    assert len(chain.vjps(np.ones(3))) == 10_001


def test_ten_thousand_equal_steps_and_structured_ones(rng):
    d = c.Diagonal(np.array([1e-9, 1e9, 1.0]))
    mantissa, log_scale = c.JacobianChain([d] * 10_000).scaled_product()
    assert mantissa.kind == "diagonal"
    np.testing.assert_allclose(log_scale + np.log(mantissa.to_dense()[1, 1]), 9e4 * np.log(10))
    w = rng.standard_normal((4, 4))
    steps = [c.RowScaled(1e-3 * rng.standard_normal(4), w) for _ in range(10_000)]
    mantissa, log_scale = c.JacobianChain(steps).scaled_product()
    assert log_scale < -6e4
    assert 0.1 < np.max(np.abs(mantissa.to_dense())) < 10
    near(c.JacobianChain([c.Permutation(np.roll(np.arange(7), 1))] * 10_000).to_dense(),
         np.roll(np.eye(7), 10_000 % 7, axis=0), np.float64)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_links(dtype):
    tiny, huge = np.finfo(dtype).tiny, np.finfo(dtype).max
    for x in (tiny, huge):
        links = [np.full((2, 2), x, dtype), c.LowRank(*[np.full((2, 1), x, dtype)] * 2),
                 c.Identity(2, x, dtype), c.Diagonal(np.full(2, x, dtype))]  # fmt: skip
        mantissa, log_scale = c.JacobianChain(links).scaled_product()
        total = mantissa.to_dense()
        assert np.all(np.isfinite(total))
        assert total.min() > 0
        expected = 5 * np.log(np.float64(x)) + np.log(2.0)
        np.testing.assert_allclose(np.log(total[0, 0]) + log_scale, expected, rtol=1e-6)
    mantissa, _ = c.JacobianChain([np.zeros((2, 2), dtype)] * 3).scaled_product()
    np.testing.assert_array_equal(mantissa.to_dense(), 0.0)
    mantissa, _ = c.JacobianChain([np.full((2, 2), np.nan, dtype)] * 3).scaled_product()
    assert np.all(np.isnan(mantissa.to_dense()))


# ---- stability


def test_spectrum_of_known_chains(rng):
    # Triangular links in one basis: the exponents are the means of the logarithms of diagonals.
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    upper = [np.triu(0.1 * rng.standard_normal((3, 3)), 1) + np.diag([2.0, 1.0, 0.25])
             for _ in range(3000)]  # fmt: skip
    chain = c.JacobianChain([q @ u @ q.T for u in upper])
    np.testing.assert_allclose(chain.spectrum(), np.log([2.0, 1.0, 0.25]), atol=2e-3)
    np.testing.assert_allclose(chain.spectrum(1), np.log([2.0]), atol=2e-3)
    assert chain.spectrum(0).shape == (0,)
    total = sum(np.log(abs(np.linalg.det(f.to_dense()))) for f in chain) / 3000
    np.testing.assert_allclose(chain.spectrum().sum(), total, rtol=1e-9)
    with pytest.raises(ShapeError, match="k = 4"):
        chain.spectrum(4)
    assert np.isneginf(c.JacobianChain([np.zeros((2, 2))]).spectrum()).all()


@pytest.mark.parametrize("ord", ["fro", 2])
def test_norms(ord, rng):
    factors, arrays = a_chain(rng, 8)
    found = c.JacobianChain(factors).norms(ord)
    with np.errstate(divide="ignore"):
        step = [np.log(np.linalg.norm(a, ord)) for a in reversed(arrays)]
        both = [np.log(np.linalg.norm(product(arrays[i:]), ord)) for i in range(8)][::-1]
    np.testing.assert_allclose(found.step, step, atol=1e-9)
    np.testing.assert_allclose(found.cumulative, both, atol=1e-9)
    with pytest.raises(ValueError, match="ord"):
        c.JacobianChain(factors).norms(1)


def test_plot_of_norms(rng):
    calls = []

    class Axes:
        def __getattr__(self, name):
            return lambda *args, **options: calls.append((name, args, options))

    axes = Axes()
    assert c.JacobianChain([np.eye(2)] * 3).plot_norms(axes) is axes
    assert [name for name, _, _ in calls] == ["plot", "plot", "axhline", "set", "legend"]


# ---- threads


def test_threads_share_factors(rng):
    factors, arrays = a_chain(rng, 30, size=8, square=True)
    factors.append(c.Banded(rng.standard_normal((8, 3)), 1, 1))
    full = product([*arrays, factors[-1].to_dense()])
    chain, results, barrier = c.JacobianChain(factors), [], threading.Barrier(4)
    scale = np.max(np.abs(full))

    def work():
        barrier.wait()
        for _ in range(20):
            part = c.JacobianChain(factors)
            results.append(chain.vjp(np.eye(8)))
            results.append(part.product().to_dense())
            results.append(np.ascontiguousarray(part.jvp(np.eye(8)).T))
            results.append(chain.vjps(np.eye(8))[-1])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 320
    for found in results:
        np.testing.assert_allclose(found / scale, full / scale, atol=1e-9)


# ---- what is refused


@pytest.mark.parametrize("make", [c.JacobianChain, c.product])
def test_refused(make):
    with pytest.raises(ShapeError, match=r"link 2 of shape \(4, 2\) .* link 1 of shape \(3, 3\)"):
        make([np.ones((2, 3)), np.eye(3), np.ones((4, 2))])
    with pytest.raises(DTypeError, match="link 1 is of float32, link 0 of float64"):
        make([np.eye(2), np.eye(2, dtype="f4")])
    with pytest.raises(ShapeError, match="at least one"):
        make([])
    with pytest.raises(ShapeError, match=r"link 1 .*\(3,\)"):
        make([np.eye(3), np.ones(3)])
    with pytest.raises(DTypeError, match=r"link 0 .*int64"):
        make([np.eye(3, dtype=int)])
    with pytest.raises(TypeError, match="link 1"):
        make([np.eye(3), "x"])


def test_refused_vectors_and_orders():
    chain = c.JacobianChain([np.ones((2, 3)), scipy.sparse.eye_array(3, format="csr")])
    with pytest.raises(ShapeError, match=r"vjp: .*\(3,\).*\(2,\)"):
        chain.vjp(np.ones(3))
    with pytest.raises(ShapeError, match=r"jvp: .*\(2,\).*\(3,\)"):
        chain.jvp(np.ones(2))
    with pytest.raises(ShapeError, match="vjps"):
        chain.vjps(np.ones((1, 1, 2)))
    with pytest.raises(DTypeError, match="complex"):
        chain.vjp(np.ones(2) * 1j)
    with pytest.raises(ValueError, match="order must be"):
        chain.product("best")
    with pytest.raises(ValueError, match="order must be"):
        c.product([np.eye(2)], order="")


def test_linearize_makes_equal_links_once():
    A = np.random.default_rng(5).standard_normal((64, 64)) / 8

    def power(x):
        for _ in range(12):
            x = A @ x
        return x

    links = bp.chain.linearize(power, np.ones(64))
    assert len({id(link) for link in links}) == 1
    assert links.explain().chosen.products < 6
    np.testing.assert_allclose(
        links.product().to_dense(), np.linalg.matrix_power(A, 12), rtol=1e-10, atol=1e-12
    )


def test_linearize_keeps_other_links_apart():
    A = np.arange(9.0).reshape(3, 3)
    links = bp.chain.linearize(lambda x: (A @ (A.T @ (2.0 * (A @ x)))) * 3.0, np.ones(3))
    np.testing.assert_array_equal(links.product().to_dense(), 6.0 * A @ A.T @ A)


@pytest.mark.parametrize(
    "f",
    [
        lambda p: np.array([0.0, 1.0, 1.0]) * np.sqrt(p),
        lambda p: np.log(p)[1:] ** 2,
        bp.grad(lambda p: np.sum(np.where(p > 0.0, p * np.log(p), 0.0))),
    ],
)
def test_exact_zeros_beside_infinite_slopes(f):
    """As in sweeps (docs/zeros.md), though links are multiplied by plain arithmetic."""
    p = np.array([0.0, 2.0, 3.0])
    with np.errstate(all="ignore"):
        expected = bp.jacobian(f, mode="forward")(p)
        assert np.all(np.isfinite(expected))
        np.testing.assert_array_equal(c.linearize(f, p).to_dense(), expected)
        np.testing.assert_array_equal(bp.jacobian(f, mode="chain")(p), expected)
