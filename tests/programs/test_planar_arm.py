"""A planar arm: forward kinematics by homogeneous matrices, inverse kinematics by SciPy.

References: the geometric Jacobian, and the two angles of two links in closed form.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import least_squares, minimize

import fastbp as bp


def rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    R = np.eye(3)
    R[0, 0] = c
    R[0, 1] = -s
    R[1, 0] = s
    R[1, 1] = c
    return R


def translation(length):
    T = np.eye(3)
    T[0, 2] = length
    return T


def by_matrices(q, lengths):
    """Position and orientation of the hand."""
    T = np.eye(3)
    for angle, length in zip(q, lengths, strict=True):
        T = T @ rotation(angle) @ translation(length)
    return np.array([T[0, 2], T[1, 2], np.arctan2(T[1, 0], T[0, 0])])


def by_literal_matrices(q, lengths):
    T = np.identity(3)
    for i in range(len(q)):
        c, s = np.cos(q[i]), np.sin(q[i])
        T = T.dot(np.array([[c, -s, lengths[i] * c], [s, c, lengths[i] * s], [0, 0, 1]]))
    return np.hstack((T[:2, 2], np.arctan2(T[1, 0], T[0, 0])))


def by_joints(q, lengths):
    """All joints in an array, as for a plot; the hand is the last."""
    joints = np.zeros((len(q) + 1, 2))
    angle = 0
    for i, (q_i, length) in enumerate(zip(q, lengths, strict=True)):
        angle += q_i
        joints[i + 1] = joints[i] + length * np.array([np.cos(angle), np.sin(angle)])
    return np.append(joints[-1], np.arctan2(np.sin(angle), np.cos(angle)))


def by_angles(q, lengths):
    angles = np.cumsum(q)
    end = angles[-1]
    return np.array(
        [lengths @ np.cos(angles), lengths @ np.sin(angles), np.arctan2(np.sin(end), np.cos(end))]
    )


FORMS = [by_matrices, by_literal_matrices, by_joints, by_angles]


def geometric(q, lengths):
    """Column i: the lever from joint i to the hand, turned by 90 degrees; and one for the angle."""
    angles = np.cumsum(q)
    links = lengths[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    levers = np.cumsum(links[::-1], axis=0)[::-1]
    return np.vstack([-levers[:, 1], levers[:, 0], np.ones(q.size)])


@pytest.mark.parametrize("hand", FORMS)
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_the_jacobian_is_the_geometric_one(hand, mode, rng):
    q, lengths = rng.uniform(-0.6, 0.6, 5), rng.uniform(0.5, 1.5, 5)
    found = bp.jacobian(bp.unmodified(hand), mode=mode)(q, lengths)
    assert_allclose(hand(q, lengths), by_angles(q, lengths), rtol=0, atol=1e-14)
    assert_allclose(found, geometric(q, lengths), rtol=0, atol=1e-14)


@pytest.mark.parametrize("hand", FORMS)
def test_two_links(hand):
    lengths, target = np.array([1.0, 0.7]), np.array([0.9, 0.8])

    def miss(q):
        return hand(q, lengths)[:2] - target

    found = least_squares(
        miss, [0.1, 0.5], jac=bp.jacobian(bp.unmodified(miss)), xtol=1e-15, gtol=1e-15
    )
    a, b = lengths
    elbow = np.arccos((target @ target - a**2 - b**2) / (2 * a * b))
    shoulder = np.arctan2(target[1], target[0]) - np.arctan2(
        b * np.sin(elbow), a + b * np.cos(elbow)
    )
    assert_allclose(found.x, [shoulder, elbow], rtol=0, atol=1e-12)


@pytest.mark.parametrize("hand", FORMS)
def test_the_nearest_posture(hand):
    """Five links reach a pose, and move as little as they can from where they are."""
    lengths, home = np.full(5, 0.5), np.full(5, 0.2)
    pose = np.array([1.2, 1.0, 1.5])

    def effort(q):
        return 0.5 * np.sum((q - home) ** 2)

    def miss(q):
        return hand(q, lengths) - pose

    found = minimize(
        effort, home, jac=bp.grad(effort), method="SLSQP", options={"ftol": 1e-15, "maxiter": 200},
        constraints={"type": "eq", "fun": miss, "jac": bp.jacobian(bp.unmodified(miss))},
    )  # fmt: skip
    assert found.success
    assert_allclose(miss(found.x), 0, rtol=0, atol=1e-9)
    # What is left of the gradient is in the rows of the Jacobian.
    J = geometric(found.x, lengths)
    multipliers = np.linalg.lstsq(J.T, found.x - home, rcond=None)[0]
    assert_allclose(J.T @ multipliers, found.x - home, rtol=0, atol=1e-6)
