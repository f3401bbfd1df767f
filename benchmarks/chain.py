"""Products of chains of Jacobians: orders against others, sweeps against bare gemv, the model."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import scipy.sparse

import fastbp as bp
from fastbp._core import blas
from fastbp.chain import bracketing, ordering, products

from .checking import CheckError, compare
from .registry import Bench, Target, at_most, bench, faster
from .timing import SelfTimed

chain = bp.chain

MULTI_DOT = "numpy.linalg.multi_dot"
LEFT = "left to right"
FASTEST = "fastest measured order"
GEMV = "100 bare gemv"


def forget() -> None:
    """Forget orders and costs that earlier calls found."""
    ordering._BRACKETINGS.clear()
    products._FOUND.clear()


def of_sizes(rng, sizes: Sequence[int]) -> list[np.ndarray]:
    return [rng.standard_normal((m, n)) / m**0.5 for m, n in pairwise(sizes)]


def waist(n: int) -> list[np.ndarray]:
    """Return 40 dense factors of sizes n but for a place of size 4 in the middle."""
    return of_sizes(np.random.default_rng(n), [n] * 20 + [4] + [n] * 20)


def _diagonals(rng):
    return [
        factor
        for _ in range(100)
        for factor in (
            chain.Diagonal(rng.standard_normal(64)),
            chain.Dense(rng.standard_normal((64, 64)) / 8),
        )
    ]


def _low_rank(rng):
    found = [chain.Dense(x) for x in of_sizes(rng, [128] * 13)]
    low = [rng.standard_normal((128, 3)) for _ in range(4)]
    found[4] = chain.LowRank(low[0], low[1])
    found[9] = chain.LowRank(low[2], low[3])
    return found


def _stencil(rng):
    n = 40
    line = scipy.sparse.diags_array([0.2, 0.5, 0.2], offsets=[-1, 0, 1], shape=(n, n))
    eye = scipy.sparse.eye_array(n)
    grid = scipy.sparse.csr_array(scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line))
    return [chain.Sparse(grid * c) for c in rng.random(6)]


def _kronecker(rng):
    return [chain.Kronecker(*rng.standard_normal((2, 12, 12))) for _ in range(10)]


def _permutations(rng):
    found = []
    for x in of_sizes(rng, [200, 200, 50, 200, 200, 20]):
        found += [chain.Permutation(rng.permutation(len(x))), chain.Dense(x)]
    return found


def _residual(rng):
    """Return the Jacobians of residual blocks, ``I + diag(d) W``."""
    return [
        chain.Sum(
            chain.Identity(48),
            chain.RowScaled(rng.standard_normal(48), rng.standard_normal((48, 48)) / 48),
        )
        for _ in range(12)
    ]


def _sums(rng):
    """Return sums of structured factors, which stay structured."""
    return [
        chain.Sum(chain.Diagonal(rng.random(400)), chain.LowRank(*rng.random((2, 400, 2)) / 400))
        for _ in range(8)
    ]


def _identities(rng):
    """Return dense links with scaled identities between them."""
    found = []
    for x in of_sizes(rng, [80, 20, 80, 80, 10, 80, 80]):
        found += [chain.Identity(len(x), 0.5), chain.Dense(x)]
    return found


# What a chain may look like: functions of a generator that return its factors.
CASES = {
    "equal_squares": lambda rng: of_sizes(rng, [100] * 21),
    "bottleneck": lambda rng: of_sizes(rng, [128] * 20 + [4] + [128] * 20),
    "growing": lambda rng: of_sizes(rng, range(8, 209, 10)),
    "shrinking": lambda rng: of_sizes(rng, range(208, 7, -10)),
    "diagonal_dense": _diagonals,
    "banded": lambda rng: [chain.Banded(rng.standard_normal((2000, 3)), 1, 1) for _ in range(40)],
    "stencil_powers": _stencil,
    "low_rank": _low_rank,
    "permutations": _permutations,
    "kronecker": _kronecker,
    "small": lambda rng: of_sizes(rng, [6] * 301),
    "small_mixed": lambda rng: of_sizes(rng, rng.integers(2, 9, 301).tolist()),
    "two": lambda rng: of_sizes(rng, [4, 4, 4]),
    "three": lambda rng: of_sizes(rng, [30, 4, 30, 4]),
    "three_by_three": lambda rng: of_sizes(rng, [3] * 11),
    "two_diagonals": lambda rng: [chain.Diagonal(rng.random(50)) for _ in range(2)],
    "three_structured": lambda rng: [*_permutations(rng)[:2], chain.Diagonal(rng.random(200))],
    "wide_narrow": lambda rng: of_sizes(rng, [200, 5] * 10 + [200]),
    "narrow_wide": lambda rng: of_sizes(rng, [5, 200] * 10 + [5]),
    "residual": _residual,
    "sums": _sums,
    "identities": _identities,
    "identities_alone": lambda rng: [chain.Identity(100, 1.0 + i / 10) for i in range(20)],
    "power": lambda rng: [chain.Dense(rng.standard_normal((64, 64)) / 8)] * 100,
}


def dense_product(factors: Sequence) -> np.ndarray:
    return functools.reduce(np.matmul, [np.asarray(chain.as_factor(x)) for x in factors])


def random_brackets(structures, names, rng: random.Random) -> bracketing.Bracketing:
    """Return brackets that are set at random."""
    builder = bracketing.Builder(structures)
    nodes = list(names)
    while len(nodes) > 1:
        i = rng.randrange(len(nodes) - 1)
        nodes[i : i + 2] = [builder.product(nodes[i], nodes[i + 1])]
    return builder.build(nodes[0])


def carry_out(factors: Sequence, brackets: bracketing.Bracketing):
    """Multiply in a given order."""
    values = list(factors)
    for (a, b), unused in zip(brackets.products, brackets.unused, strict=True):
        values.append(products.multiply(values[a], values[b]))
        for value in unused:
            values[value] = None
    return values[brackets.root]


@bench("chain")
class ChainBottleneck(Bench):
    """Product of 40 dense factors with a waist of 4, against multi_dot; a new order, or a known."""

    params = {"n": (32, 64, 128, 256), "order": ("new", "known")}
    quick = {"n": (32,)}

    def setup(self, n, order):
        self.factors = waist(n)
        self.inputs = {}
        self.new = order == "new"

    def run(self):
        if self.new:
            forget()
        return chain.product(self.factors).to_dense()

    def check(self):
        return compare(self.run(), dense_product(self.factors), 1e-12, "product")

    def against(self):
        return {
            MULTI_DOT: lambda: np.linalg.multi_dot(self.factors),
            "numpy " + LEFT: lambda: functools.reduce(np.matmul, self.factors),
        }

    @classmethod
    def targets(cls, n, order) -> dict[str, Target]:
        return {MULTI_DOT: faster(20)}


@bench("chain")
class ChainOrders(Bench):
    """Product of a chain, ordering included, against the same kernels from left to right."""

    params = {"case": tuple(CASES)}
    quick = {"case": ("growing", "small")}

    def setup(self, case):
        self.factors = CASES[case](np.random.default_rng(0))
        self.inputs = {}

    def run(self):
        forget()
        return chain.product(self.factors)

    def check(self):
        got, expected = self.run().to_dense(), dense_product(self.factors)
        return compare(got, expected, 1e-9, "product")

    def against(self):
        def left():
            forget()
            return functools.reduce(products.multiply, map(chain.as_factor, self.factors))

        found = {LEFT: left}
        if all(isinstance(x, np.ndarray) for x in self.factors):
            found["numpy " + LEFT] = lambda: functools.reduce(np.matmul, self.factors)
        return found

    @classmethod
    def targets(cls, case) -> dict[str, Target]:
        return {LEFT: at_most(1.1), "numpy " + LEFT: at_most(1.1)}


@bench("chain")
class ChainModel(Bench):
    """Product in the order that the cost model prefers, against the fastest of ten orders."""

    params = {"case": tuple(CASES)}
    quick = {"case": ("growing",)}
    threaded = False

    def setup(self, case):
        self.factors = [chain.as_factor(x) for x in CASES[case](np.random.default_rng(0))]
        self.inputs = {}
        links = [factor.structure for factor in self.factors]
        names = bp.chain.execution.names_of(self.factors)
        orders = [ordering.order(links, names, how) for how in ("exact", "left", "right")]
        rng = random.Random(0)
        orders += [random_brackets(links, names, rng) for _ in range(7)]
        self.brackets, self.orders = orders[0], orders
        self.run = partial(carry_out, self.factors, self.brackets)  # type: ignore[method-assign]

    def run(self):
        return carry_out(self.factors, self.brackets)

    def check(self):
        expected = self.run().to_dense()
        errors = [
            compare(carry_out(self.factors, brackets).to_dense(), expected, 1e-9, "another order")
            for brackets in self.orders[1:]
        ]
        return max(errors)

    def against(self):
        """Measure the orders in turn, and return the fastest."""
        best = [float("inf")] * len(self.orders)
        for _ in range(5):
            for i, brackets in enumerate(self.orders):
                start = time.perf_counter()
                carry_out(self.factors, brackets)
                best[i] = min(best[i], time.perf_counter() - start)
        fastest = self.orders[best.index(min(best))]
        return {FASTEST: partial(carry_out, self.factors, fastest)}

    @classmethod
    def targets(cls, case) -> dict[str, Target]:
        return {FASTEST: at_most(1.15)}


@bench("chain")
class ChainVjp(Bench):
    """One cotangent through 100 x (diagonal, 256 x 256), against gemv with the same matrices."""

    params = {"form": ("diagonal, dense", "row scaled")}

    def setup(self, form):
        rng = np.random.default_rng(0)
        self.inputs = {
            "W": rng.standard_normal((100, 256, 256)) / 16,
            "d": rng.standard_normal((100, 256)),
            "g": rng.standard_normal(256),
        }
        pairs = list(zip(self.inputs["d"], self.inputs["W"], strict=True))
        if form == "row scaled":
            links = [chain.RowScaled(d, w) for d, w in pairs]
        else:
            links = [x for d, w in pairs for x in (chain.Diagonal(d), chain.Dense(w))]
        self.chain = chain.JacobianChain(links)

    def run(self):
        return self.chain.vjp(self.inputs["g"])

    def check(self):
        x = self.inputs["g"]
        for d, w in zip(self.inputs["d"], self.inputs["W"], strict=True):
            x = (x * d) @ w
        if len(self.chain.vjps(self.inputs["g"])) != len(self.chain) + 1:
            raise CheckError("vjps: not a cotangent for every link")
        return compare(self.run(), x, 1e-10, "vjp")

    def against(self):
        matrices, g = list(self.inputs["W"]), self.inputs["g"]

        def bare(loops):
            x, y = g.copy(), np.empty(256)
            start = time.perf_counter()
            for _ in range(loops):
                for w in matrices:
                    blas.gemv(w, x, trans_a=True, out=y)
                    x, y = y, x
            return (time.perf_counter() - start) / loops

        def loop():
            x = g
            for d, w in zip(self.inputs["d"], matrices, strict=True):
                x = (x * d) @ w
            return x

        return {GEMV: SelfTimed(bare), "loop in NumPy": loop}

    @classmethod
    def targets(cls, form) -> dict[str, Target]:
        return {GEMV: at_most(1.3)}
