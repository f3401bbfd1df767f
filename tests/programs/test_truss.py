"""A plane truss: stiffness matrices of bars, turned and added into a matrix of zeros.

References: forces from the equilibrium of the joints alone (the truss is statically determinate),
and virtual work, which gives displacements and their derivatives in closed form.
"""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

import fastbp as bp

E = 210e9
NODES = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [1.0, 1.5], [3.0, 1.5]])
BARS = [(0, 1), (1, 2), (0, 3), (1, 3), (1, 4), (2, 4), (3, 4)]
FIXED = [0, 1, 5]  # a hinge at the left, a roller at the right
FREE = [2, 3, 4, 6, 7, 8, 9]
LOAD = np.array([0.0, 0.0, 0.0, -60e3, 0.0, 0.0, 10e3, -20e3, 0.0, -20e3])
AREAS = np.array([8.0, 8.0, 12.0, 6.0, 6.0, 12.0, 9.0]) * 1e-4


def turned_by_a_matrix(areas, nodes):
    K = np.zeros((2 * len(nodes), 2 * len(nodes)))
    for A, (i, j) in zip(areas, BARS, strict=True):
        d = nodes[j] - nodes[i]
        L = np.sqrt(d @ d)
        c, s = d / L
        R = np.eye(4)
        R[0, 0] = c
        R[0, 1] = s
        R[1, 0] = -s
        R[1, 1] = c
        R[2:, 2:] = R[:2, :2]
        k = np.zeros((4, 4))
        k[0, 0] = k[2, 2] = E * A / L
        k[0, 2] = k[2, 0] = -E * A / L
        dofs = [2 * i, 2 * i + 1, 2 * j, 2 * j + 1]
        K[np.ix_(dofs, dofs)] += R.T @ k @ R
    return K


def as_an_outer_product(areas, nodes):
    K = np.zeros((2 * len(nodes), 2 * len(nodes)))
    for e, (i, j) in enumerate(BARS):
        L = np.linalg.norm(nodes[j] - nodes[i])
        c, s = (nodes[j] - nodes[i]) / L
        b = np.array([-c, -s, c, s])
        k = E * areas[e] / L * np.outer(b, b)
        dofs = np.r_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        for a in range(4):
            for b in range(4):
                K[dofs[a], dofs[b]] += k[a, b]
    return K


def by_blocks(areas, nodes):
    n = len(nodes)
    K = np.zeros((n, 2, n, 2))
    for A, (i, j) in zip(areas, BARS, strict=True):
        dx, dy = nodes[j] - nodes[i]
        L = np.hypot(dx, dy)
        block = E * A / L**3 * np.array([[dx * dx, dx * dy], [dx * dy, dy * dy]])
        K[i, :, i] += block
        K[j, :, j] += block
        K[i, :, j] -= block
        K[j, :, i] -= block
    return K.reshape(2 * n, 2 * n)


FORMS = [turned_by_a_matrix, as_an_outer_product, by_blocks]


def displacements(areas, nodes, assemble):
    K = assemble(areas, nodes)
    u = np.zeros(2 * len(nodes))
    u[FREE] = np.linalg.solve(K[np.ix_(FREE, FREE)], LOAD[FREE])
    return u


def compliance(areas, nodes, assemble):
    return LOAD @ displacements(areas, nodes, assemble)


def equilibrium(nodes):
    """Row by row: the components of the bars' directions that act on free joints."""
    B = np.zeros((10, 7))
    for e, (i, j) in enumerate(BARS):
        d = nodes[j] - nodes[i]
        d = d / np.sqrt(d @ d)
        B[2 * i : 2 * i + 2, e], B[2 * j : 2 * j + 2, e] = d, -d
    return B[FREE]


def lengths(nodes):
    return np.array([np.sqrt((nodes[j] - nodes[i]) @ (nodes[j] - nodes[i])) for i, j in BARS])


@pytest.mark.parametrize("assemble", FORMS)
def test_areas(assemble):
    """Virtual work: u_k = sum F N_k L / EA; so du_k/dA = -F N_k L / EA^2."""
    B = equilibrium(NODES)
    forces, unit = np.linalg.solve(B, -LOAD[FREE]), np.linalg.solve(B, -np.eye(7))
    stretched = (forces * lengths(NODES) / (E * AREAS))[:, None] * unit
    u = displacements(AREAS, NODES, assemble)
    assert_allclose(u[FREE], stretched.sum(axis=0), rtol=1e-10, atol=1e-15)
    f = bp.unmodified(displacements)
    for mode in ("forward", "reverse"):
        found = bp.jacobian(f, mode=mode)(AREAS, NODES, assemble)
        assert_allclose(found[FREE], -(stretched / AREAS[:, None]).T, rtol=1e-9, atol=1e-12)
        assert not found[FIXED].any()


@pytest.mark.parametrize("assemble", FORMS)
def test_joints(assemble):
    """The shape: its compliance is sum F^2 L / EA, differenced in 40 digits."""
    mp = mpmath.mp.clone()
    mp.dps = 40

    def work(nodes):
        B = mp.matrix(10, 7)
        L = []
        for e, (i, j) in enumerate(BARS):
            d = [nodes[j][0] - nodes[i][0], nodes[j][1] - nodes[i][1]]
            L.append(mp.sqrt(d[0] ** 2 + d[1] ** 2))
            for axis in (0, 1):
                B[2 * i + axis, e], B[2 * j + axis, e] = d[axis] / L[e], -d[axis] / L[e]
        F = mp.lu_solve(
            mp.matrix([[B[r, e] for e in range(7)] for r in FREE]), mp.matrix(-LOAD[FREE])
        )
        return sum(F[e] ** 2 * L[e] / (mp.mpf(E) * mp.mpf(AREAS[e])) for e in range(7))

    def slope(n, axis):
        h = mp.mpf(10) ** -13
        moved = [[mp.mpf(x) for x in node] for node in NODES]
        moved[n][axis] += h
        up = work(moved)
        moved[n][axis] -= 2 * h
        return float((up - work(moved)) / (2 * h))

    expected = np.array([[slope(n, axis) for axis in (0, 1)] for n in range(5)])
    found = bp.grad(bp.unmodified(compliance), argnums=1)(AREAS, NODES, assemble)
    assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_the_stiffest_truss_of_a_given_volume():
    """The optimum is known: areas in proportion to forces, a_e = V |F_e| / sum |F| L."""
    L = lengths(NODES)
    F = np.abs(np.linalg.solve(equilibrium(NODES), -LOAD[FREE]))
    volume = AREAS @ L
    f = bp.unmodified(compliance)

    # In units in which areas, volume and compliance are about one.
    def scaled(a):
        return 1e-3 * f(a * 1e-3, NODES, as_an_outer_product)

    found = minimize(
        scaled, AREAS * 1e3, jac=bp.grad(scaled), method="SLSQP", bounds=[(1e-3, None)] * 7,
        constraints={"type": "eq", "fun": lambda a: a @ L - volume * 1e3, "jac": lambda a: L},
        options={"ftol": 1e-14, "maxiter": 300},
    )  # fmt: skip
    assert_allclose(found.x * 1e-3, np.maximum(volume * F / (F @ L), 1e-6), rtol=0, atol=1e-7)
