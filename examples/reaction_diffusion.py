"""
Reaction and diffusion
======================

A stiff reaction-diffusion system: the Brusselator in two dimensions, with its sparse Jacobian.

Two concentrations u and v on a periodic grid react and diffuse:

    du/dt = 1 + u^2 v - 4.4 u + alpha (u_xx + u_yy) + s(x, y, t)
    dv/dt = 3.4 u - u^2 v     + alpha (v_xx + v_yy)

Implicit methods need the Jacobian. Of its 2048 x 2048 elements 12288 are not zero; fastbp finds
where they are and computes them with 12 tangents.
"""

import sys
import time

import numpy as np
from scipy.integrate import solve_ivp

import fastbp as bp

SPAN = (0.0, 3.0)  # the source s is switched on at t = 1.1
TOLERANCES = {"rtol": 1e-5, "atol": 1e-7}


def brusselator(n, alpha=10.0, a=3.4, b=1.0):
    """Return the right-hand side and the initial state on a grid of n x n points."""
    grid = np.linspace(0.0, 1.0, n)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    source = 5.0 * ((x - 0.3) ** 2 + (y - 0.6) ** 2 <= 0.1**2)
    scale = alpha * (n - 1) ** 2

    def diffusion(w):
        neighbours = sum(np.roll(w, step, axis) for step in (-1, 1) for axis in (-2, -1))
        return scale * (neighbours - 4.0 * w)

    def f(t, state):
        u, v = w = state.reshape(2, n, n)
        reaction = u * u * v
        du = b + reaction - (a + 1.0) * u + source * (t >= 1.1)
        dv = a * u - reaction
        return (np.stack([du, dv]) + diffusion(w)).reshape(-1)

    start = np.stack([22.0 * (y * (1.0 - y)) ** 1.5, 27.0 * (x * (1.0 - x)) ** 1.5])
    return f, start.reshape(-1)


def main(n=32, dense_n=12):
    f, start = brusselator(n)
    pattern = bp.sparse.sparsity(f, 0.0, start, argnums=1)
    colors = bp.sparse.color(pattern).num_colors
    print(f"Jacobian {pattern.shape}, {pattern.nnz} nonzeros, {colors} colors")

    def run(name, f, start, **given):
        begin = time.perf_counter()
        solution = solve_ivp(f, SPAN, start, **{"method": "BDF", **TOLERANCES, **given})
        seconds = time.perf_counter() - begin
        print(f"  {name:34} {seconds:6.2f} s, {solution.t.size} steps, {solution.njev} Jacobians")
        return solution.y[:, -1]

    print(f"N = {n}, BDF")
    exact = run("exact sparse Jacobian", f, start, **bp.sparse.for_solve_ivp(f))
    fill = run("and less fill-in", f, start, **bp.sparse.for_solve_ivp(f, method="BDF"))
    found = run("differences, jac_sparsity", f, start, jac_sparsity=pattern)
    ends = start.reshape(2, n, n), exact.reshape(2, n, n)
    assert np.allclose(exact, fill, rtol=1e-3)
    assert np.allclose(exact, found, rtol=1e-3)

    f, start = brusselator(dense_n)
    print(f"N = {dense_n}")
    exact = run("exact sparse Jacobian", f, start, **bp.sparse.for_solve_ivp(f))
    full = run("the same as a dense array", f, start, **bp.sparse.for_solve_ivp(f, use="dense"))
    assert np.allclose(exact, full, rtol=1e-3)
    return pattern, ends


def draw(pattern, ends):
    """Draw u at the start and at the end, and where the Jacobian is not zero."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11.0, 3.6), layout="constrained")
    for ax, t, (u, _) in zip(axes, SPAN, ends, strict=False):
        figure.colorbar(ax.imshow(u.T, origin="lower", extent=(0, 1, 0, 1)), ax=ax, shrink=0.7)
        ax.set(title=f"u at t = {t:g}", xlabel="x", ylabel="y")
    axes[2].spy(pattern, markersize=0.2)
    axes[2].set_title(f"Jacobian: {pattern.nnz} nonzeros", pad=20)
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
