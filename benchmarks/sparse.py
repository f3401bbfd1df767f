"""Sparse Jacobians: patterns, colorings, evaluation, and what SciPy's solvers gain from them."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares

import fastbp as bp

from .checking import CheckError, compare
from .registry import Bench, at_most, bench, faster
from .timing import SelfTimed

LIMIT = "limit"
DIFFERENCES = "differences with jac_sparsity"
DENSE = "dense Jacobian"
PLAIN = "exact Jacobian, SciPy's ordering"


def limit(seconds):
    """Return a contender that always takes this long: a target in seconds."""
    return {LIMIT: SelfTimed(lambda loops: seconds)}


def same_matrix(got, want, what):
    """Compare sparse matrices: their difference, relative to the largest element."""
    scale = np.abs(want.data).max()
    error = float(abs(got - want).max()) / scale
    if got.shape != want.shape or not error <= 1e-12:
        raise CheckError(f"{what}: relative error {error:.1e}, shape {got.shape}")
    return error


def check_jacobian(jacobian, f, x):
    """Compare a sparse Jacobian with a complex step along a random direction."""
    v = np.random.default_rng(0).standard_normal(x.size)
    return compare(jacobian @ v, f(x + 1e-30j * v).imag / 1e-30, 1e-12, "Jacobian")


def check_coloring(pattern, colors):
    """Check that no row has two nonzeros in columns of one color."""
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    pairs = np.stack([rows, np.asarray(colors)[pattern.indices]])
    if np.unique(pairs, axis=1).shape[1] != pattern.nnz:
        raise CheckError("two columns of one color share a row")


# ---- a periodic 3-point stencil


def stencil(x):
    """Reaction and diffusion on a ring."""
    return np.roll(x, 1) - 2.0 * x + np.roll(x, -1) + x * (1.0 - x * x)


def stencil_jacobian(x):
    """Return the Jacobian of `stencil` by definition."""
    from scipy import sparse

    i, one = np.arange(x.size), np.ones(x.size)
    data = np.concatenate([one, -1.0 - 3.0 * x * x, one])
    rows, columns = np.tile(i, 3), np.concatenate([np.roll(i, 1), i, np.roll(i, -1)])
    return sparse.csr_array((data, (rows, columns)), shape=(x.size, x.size))


@bench("sparse")
class StencilPattern(Bench):
    """Pattern and column coloring of a periodic 3-point stencil, from the function alone."""

    params = {"n": (100_000,)}
    quick = {"n": (10_000,)}
    threaded = False

    def setup(self, n):
        self.inputs = {"x": np.random.default_rng(n).standard_normal(n)}

    def run(self):
        pattern = bp.sparse.sparsity(stencil, self.inputs["x"])
        return pattern.indices, bp.sparse.color(pattern).columns

    def check(self):
        pattern = bp.sparse.sparsity(stencil, self.inputs["x"])
        check_coloring(pattern, self.run()[1])
        want = stencil_jacobian(self.inputs["x"])
        return same_matrix(pattern.astype(float), (want != 0).astype(float), "pattern")

    def against(self):
        return limit(0.3)

    @classmethod
    def targets(cls, n):
        return {LIMIT: at_most(1)}


@bench("sparse")
class StencilJacobian(Bench):
    """Prepared Jacobian of a periodic 3-point stencil, into CSR."""

    params = {"n": (100_000,)}
    quick = {"n": (10_000,)}

    def setup(self, n):
        self.inputs = {"x": np.random.default_rng(n).standard_normal(n)}
        self.prepared = bp.sparse.prepare(stencil, self.inputs["x"])

    def run(self):
        return self.prepared(self.inputs["x"]).data

    def check(self):
        x = self.inputs["x"]
        return same_matrix(self.prepared(x), stencil_jacobian(x), "Jacobian")

    def against(self):
        return limit(1.5e-3)

    @classmethod
    def targets(cls, n):
        return {LIMIT: at_most(1)} if n == 100_000 else {}


# ---- the Brusselator in two dimensions


def brusselator(n, alpha=10.0, a=3.4, b=1.0):
    """Return the right-hand side and the initial state on a periodic grid of n x n points."""
    grid = np.linspace(0.0, 1.0, n)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    source = 5.0 * ((x - 0.3) ** 2 + (y - 0.6) ** 2 <= 0.1**2)
    scale = alpha * (n - 1) ** 2

    def diffusion(w):
        near = np.roll(w, 1, -1) + np.roll(w, -1, -1) + np.roll(w, 1, -2) + np.roll(w, -1, -2)
        return scale * (near - 4.0 * w)

    def f(t, state):
        u, v = w = state.reshape(2, n, n)
        reaction = u * u * v
        du = b + reaction - (a + 1.0) * u + source * (t >= 1.1)
        dv = a * u - reaction
        return (np.stack([du, dv]) + diffusion(w)).reshape(-1)

    start = np.stack([22.0 * (y * (1.0 - y)) ** 1.5, 27.0 * (x * (1.0 - x)) ** 1.5])
    return f, start.reshape(-1)


LIMITS = {"detection": 10e-3, "coloring": 2e-3, "Jacobian": 0.5e-3}


@bench("sparse")
class Brusselator(Bench):
    """Brusselator in 2-D, 2048 unknowns: each step on the way to its sparse Jacobian."""

    params = {"step": tuple(LIMITS)}

    def setup(self, step):
        f, y = brusselator(32)
        self.inputs, self.step = {"y": y}, step
        self.detect = partial(bp.sparse.sparsity, f, 0.0, y, argnums=1)
        self.pattern = self.detect()
        prepared = bp.sparse.prepare(f, 0.0, y, argnums=1)
        self.runs = {
            "detection": lambda: self.detect().indices,
            "coloring": lambda: bp.sparse.color(self.pattern).columns,
            "Jacobian": lambda: prepared(0.0, y).data,
        }
        self.exact, self.prepared = partial(bp.jacobian(f, argnums=1), 0.0, y), prepared

    def run(self):
        return self.runs[self.step]()

    def check(self):
        from scipy import sparse

        dense = sparse.csr_array(self.exact())
        check_coloring(self.pattern, self.runs["coloring"]())
        if ((dense != 0).astype(int) - self.pattern.astype(int)).max() > 0:
            raise CheckError("the pattern misses nonzeros")
        return same_matrix(self.prepared(0.0, self.inputs["y"]), dense, "Jacobian")

    def against(self):
        return limit(LIMITS[self.step])

    @classmethod
    def targets(cls, step):
        return {LIMIT: at_most(1)}


@bench("sparse")
class BrusselatorBdf(Bench):
    """solve_ivp(method="BDF") on the Brusselator, n x n: exact sparse Jacobian and ordering."""

    params = {"n": (32, 128)}
    quick = {"n": (16,)}
    threaded = False  # SuperLU, where the time goes, has one thread
    span = {16: 0.1, 32: 1e-3, 128: 1e-4}  # short: one run must not take minutes
    tolerances = {"rtol": 1e-3, "atol": 1e-5}

    def setup(self, n):
        self.f, self.y = brusselator(n)
        self.inputs = {"y": self.y}
        self.end = self.span[n]
        self.pattern = bp.sparse.sparsity(self.f, 0.0, self.y, argnums=1)
        self.n = n

    def solve(self, **given):
        """Integrate and return the final state."""
        given = {"method": "BDF", **self.tolerances, **given}
        return solve_ivp(self.f, (0.0, self.end), self.y, t_eval=[self.end], **given).y

    def run(self):
        return self.solve(**bp.sparse.for_solve_ivp(self.f, method="BDF"))

    def check(self):
        found, others = self.run(), self.solve(jac_sparsity=self.pattern)
        tight = bp.sparse.for_solve_ivp(self.f, method="BDF") | {"rtol": 1e-8, "atol": 1e-10}
        exact = self.solve(**tight)
        ours, theirs = (float(np.abs(y - exact).max()) for y in (found, others))
        if not ours <= 1.1 * theirs:
            raise CheckError(f"error {ours:.1e}, with finite differences {theirs:.1e}")
        compare(found, exact, 1e-3, "solution")
        jac = bp.sparse.jacobian(self.f, 0.0, self.y, argnums=1)
        return check_jacobian(jac, partial(self.f, 0.0), self.y)

    def against(self):
        found = {DIFFERENCES: partial(self.solve, jac_sparsity=self.pattern)}
        if self.n <= 32:
            found[PLAIN] = partial(self.solve, **bp.sparse.for_solve_ivp(self.f))
            found[DENSE] = partial(self.solve, **bp.sparse.for_solve_ivp(self.f, use="dense"))
        return found

    @classmethod
    def targets(cls, n):
        return {DIFFERENCES: faster(1)} if n == 128 else {}


# ---- bundle adjustment


def rotated(points, vectors):
    """Rotate points by rotation vectors (Rodrigues), row by row."""
    angle = np.sqrt(np.sum(vectors**2, axis=1, keepdims=True))
    axis = vectors / angle
    along = np.sum(axis * points, axis=1, keepdims=True) * axis
    return np.cos(angle) * (points - along) + along + np.sin(angle) * np.cross(axis, points)


def bundle(cameras, points, seed=0):
    """Return the residuals of a synthetic bundle adjustment, and a start."""
    rng = np.random.default_rng(seed)
    camera, point = np.nonzero(rng.random((cameras, points)) < 0.4)
    turns = rng.normal(0.0, 0.3, (cameras, 3))
    shifts = rng.normal([0.0, 0.0, 8.0], 0.3, (cameras, 3))
    focal = rng.normal(500.0, 20.0, (cameras, 1))
    truth = np.concatenate(
        [np.hstack([turns, shifts, focal]).ravel(), rng.uniform(-1.0, 1.0, 3 * points)]
    )

    def images(x):
        poses = x[: 7 * cameras].reshape(cameras, 7)[camera]
        local = rotated(x[7 * cameras :].reshape(points, 3)[point], poses[:, :3]) + poses[:, 3:6]
        return poses[:, 6:] * local[:, :2] / local[:, 2:]

    seen = images(truth) + rng.normal(0.0, 0.5, (camera.size, 2))
    blur = np.concatenate([np.tile([0.02] * 6 + [5.0], cameras), np.full(3 * points, 0.05)])
    return lambda x: (images(x) - seen).reshape(-1), truth + blur * rng.normal(size=truth.size)


@bench("sparse")
class BundleAdjustment(Bench):
    """Bundle adjustment by least_squares, 16000 residuals: exact sparse Jacobian."""

    params = {"cameras": (20,), "points": (1000,)}
    quick = {"cameras": (6,), "points": (100,)}

    def setup(self, cameras, points):
        self.f, x = bundle(cameras, points)
        self.inputs = {"x": x}
        self.pattern = bp.sparse.sparsity(self.f, x)

    def solve(self, **given):
        """Minimise and return the residuals at the end."""
        return least_squares(self.f, self.inputs["x"], x_scale="jac", ftol=1e-8, **given).fun

    def run(self):
        return self.solve(**bp.sparse.for_least_squares(self.f))

    def check(self):
        cost, other = (float(r @ r) for r in (self.run(), self.solve(jac_sparsity=self.pattern)))
        if not cost <= 1.001 * other:
            raise CheckError(f"cost {cost:.6g}, with finite differences {other:.6g}")
        x = self.inputs["x"]
        return check_jacobian(bp.sparse.jacobian(self.f, x), self.f, x)

    def against(self):
        return {DIFFERENCES: partial(self.solve, jac_sparsity=self.pattern)}
