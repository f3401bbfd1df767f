"""Parts of chains that one compiled sweep multiplies: shared matrices, blocks of rows, repeats."""

import threading

import numpy as np
import pytest

import fastbp as bp
from fastbp._core.chain_sweep import ChainSweep
from fastbp.chain import (
    Banded,
    BlockDiagonal,
    ColumnScaled,
    Dense,
    Diagonal,
    Identity,
    LowRank,
    RowScaled,
    Sum,
)
from fastbp.chain.execution import names_of
from fastbp.chain.ordering import order
from fastbp.chain.runs import runs
from fastbp.errors import ShapeError

rng = np.random.default_rng(0)


def dense(factors):
    out = np.eye(factors[0].shape[0])
    for factor in factors:
        out = out @ factor.to_dense()
    return out


def weight(n):
    return rng.normal(size=(n, n)) / np.sqrt(n)


def slopes(n):
    return rng.uniform(0.5, 1.0, n)


def chains(n):
    W, V = weight(n), weight(n)
    shared = Dense(W)
    yield "row scaled", [RowScaled(slopes(n), W.T) for _ in range(9)]
    yield "column scaled", [ColumnScaled(shared, slopes(n)) for _ in range(9)]
    yield "alternating", [x for _ in range(6) for x in (Diagonal(slopes(n)), Dense(W))]
    yield "the other way", [x for _ in range(6) for x in (Dense(W.T), Diagonal(slopes(n)))]
    yield "two weights", [RowScaled(slopes(n), (W, V)[i % 2]) for i in range(8)]
    yield "different ones", [RowScaled(slopes(n), weight(n)) for _ in range(6)]
    yield (
        "waist",
        [
            *(RowScaled(slopes(n), W) for _ in range(5)),
            LowRank(rng.normal(size=(n, 2)), rng.normal(size=(n, 2))),
            *(ColumnScaled(W, slopes(n)) for _ in range(5)),
        ],
    )
    yield (
        "ends",
        [
            Diagonal(slopes(n)),
            Banded(rng.normal(size=(n, 3)), 1, 1),
            *(RowScaled(slopes(n), W) for _ in range(5)),
            Identity(n, 2.0),
            Diagonal(slopes(n)),
            Sum(Identity(n), RowScaled(slopes(n), W)),
        ],
    )


@pytest.mark.parametrize("how", ["auto", "exact", "left", "right"])
@pytest.mark.parametrize("n", [1, 5, 40, 72])
def test_products(how, n):
    for name, factors in chains(n):
        found = bp.chain.product(factors, how).to_dense()
        np.testing.assert_allclose(found, dense(factors), rtol=1e-10, atol=1e-12, err_msg=name)
        chain = bp.chain.JacobianChain(factors)
        for i, (a, b) in enumerate(zip(chain.prefixes(), chain.suffixes(), strict=True)):
            np.testing.assert_allclose(
                a.to_dense(), dense(factors[: i + 1]), rtol=1e-10, atol=1e-12
            )
            np.testing.assert_allclose(b.to_dense(), dense(factors[i:]), rtol=1e-10, atol=1e-12)


def test_a_shared_weight_makes_one_run():
    for how, right in (("left", True), ("right", False)):
        W = weight(40)
        factors = [RowScaled(slopes(40), W) for _ in range(10)]
        brackets = order([factor.structure for factor in factors], names_of(factors), how)
        assert runs(brackets) == {0: (9, right)}


def test_factors_stay_as_they_are():
    W, d = weight(40), [slopes(40) for _ in range(5)]
    copies = W.copy(), [x.copy() for x in d]
    bp.chain.product([RowScaled(x, W) for x in d])
    bp.chain.product([ColumnScaled(W, x) for x in d])
    np.testing.assert_array_equal(W, copies[0])
    np.testing.assert_array_equal(d, copies[1])


# ---- the sweep itself


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("n", [3, 32, 65, 130])
@pytest.mark.parametrize("k", [0, 1, 5, 31, 32, 33, 64, 100])
def test_repeated(k, n, dtype):
    T, tolerance = 4, 1e-11 if dtype == "f8" else 1e-4
    W, x = weight(n).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
    for matrix in (W, W.T, np.repeat(W, 2, axis=0)[::2]):
        for B in (0, 1, 3):
            shape = (T, B, n) if B else (T, n)
            d = rng.uniform(0.5, 1, shape).astype(dtype)
            sweep = ChainSweep([(("scale", d), ("gemm", matrix), ("times", 2.0, n))], dtype, T)
            expected = [x]
            for step in d:
                rows = step[np.arange(k) % B] if B else step
                expected.append((expected[-1] * rows) @ matrix * np.array(2, dtype))
            found = sweep.run(x, True)
            for a, b in zip(found, expected[1:], strict=True):
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
            np.testing.assert_array_equal(sweep.run(x), found[-1])
            np.testing.assert_array_equal(sweep.run(found[1], skip=2), found[-1])


def test_many_rows_run_in_parallel():
    n, T = 300, 3
    W, d, x = weight(n), rng.uniform(0.5, 1, (T, n)), rng.normal(size=(n, n))
    sweep = ChainSweep([(("scale", d), ("gemm", W))], W.dtype, T)
    expected = x
    for step in d:
        expected = (expected * step) @ W
    found = [None] * 4

    def work(i):
        found[i] = [sweep.run(x[: 1 + 99 * i]), sweep.run(x)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, (part, whole) in enumerate(found):
        np.testing.assert_allclose(part, expected[: 1 + 99 * i], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(whole, expected, rtol=1e-10, atol=1e-12)


def test_bad_sweeps():
    one = ("scale", np.ones((2, 3)))
    for steps, repeat, error, text in (
        ([(one,), (one,)], 2, ShapeError, "one factor"),
        ([(one,)], 3, ShapeError, r"scale has shape \(2, 3\)"),
        ([(("scale", np.ones((2, 0, 3))),)], 2, ShapeError, "no rows"),
        ([(("gemm", np.ones(3)),)], 0, ShapeError, r"\(3,\)"),
        ([(("gemm", np.ones((2, 3))),)], 2, ShapeError, "step 1 has 2 rows"),
        ([(Dense(np.eye(2)),)], 2, TypeError, "Dense cannot be repeated"),
    ):
        with pytest.raises(error, match=text):
            ChainSweep(steps, "f8", repeat)


# ---- blocks of any kind


def test_structured_blocks():
    W = weight(4)
    blocks = [RowScaled(slopes(4), W), Identity(2, 3.0), rng.normal(size=(2, 3))]
    a = BlockDiagonal(blocks)
    b = BlockDiagonal([Diagonal(slopes(4)), Dense(rng.normal(size=(2, 5))), Identity(3)])
    d, e = Diagonal(slopes(8)), Diagonal(slopes(9))
    for factors in ([a, b], [d, a], [a, e], [d, a, e], [d, a, b], [a, b, b.T, a.T, a, b]):
        product = bp.chain.product(factors)
        assert type(product) is BlockDiagonal
        np.testing.assert_allclose(product.to_dense(), dense(factors), rtol=1e-12, atol=1e-14)
    kinds = [type(x).__name__ for x in (a @ b)._blocks]
    assert kinds == ["RowScaled", "Dense", "Dense"]
    np.testing.assert_allclose(a.to_scipy().toarray(), a.to_dense())
    assert np.isclose(a._squares(), np.sum(a.to_dense() ** 2))
    mixed = [BlockDiagonal(rng.normal(size=(3, 3, 3))), BlockDiagonal([np.eye(3)] * 3)]
    np.testing.assert_allclose(bp.chain.product(mixed).to_dense(), dense(mixed))
