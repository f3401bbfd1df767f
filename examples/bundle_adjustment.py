"""
Bundle adjustment
=================

Bundle adjustment: cameras and points from their images, by sparse least squares.

Each camera has a rotation vector, a translation and a focal length; each observation is the image
of one point in one camera. A residual depends on 9 of the parameters, so the Jacobian is almost all
zeros, and fastbp finds where it is not.
"""

import sys
import time

import numpy as np
from scipy.optimize import least_squares

import fastbp as bp


def rotated(points, vectors):
    """Rotate points by rotation vectors (Rodrigues), row by row."""
    angle = np.sqrt(np.sum(vectors**2, axis=1, keepdims=True))
    axis = vectors / angle
    along = np.sum(axis * points, axis=1, keepdims=True) * axis
    return np.cos(angle) * (points - along) + along + np.sin(angle) * np.cross(axis, points)


class Scene:
    """Synthetic cameras around points, and what they see."""

    def __init__(self, cameras=12, points=400, seen=0.4, noise=0.5, seed=0):
        rng = np.random.default_rng(seed)
        self.cameras, self.points = cameras, points
        visible = rng.random((cameras, points)) < seen
        self.camera, self.point = np.nonzero(visible)
        poses = np.empty((cameras, 7))
        poses[:, :3] = rng.normal(0.0, 0.3, (cameras, 3))
        poses[:, 3:6] = rng.normal([0.0, 0.0, 8.0], 0.3, (cameras, 3))
        poses[:, 6] = 500.0 + rng.normal(0.0, 20.0, cameras)
        self.truth = np.concatenate([poses.ravel(), rng.uniform(-1.0, 1.0, 3 * points)])
        self.seen = self.images(self.truth) + rng.normal(0.0, noise, (self.camera.size, 2))
        blur = np.concatenate([np.tile([0.02] * 6 + [5.0], cameras), np.full(3 * points, 0.05)])
        self.start = self.truth + blur * rng.normal(size=self.truth.size)

    def images(self, x):
        """Project every observed point into its camera, in pixels."""
        poses = x[: 7 * self.cameras].reshape(self.cameras, 7)[self.camera]
        points = x[7 * self.cameras :].reshape(self.points, 3)[self.point]
        local = rotated(points, poses[:, :3]) + poses[:, 3:6]
        return poses[:, 6:] * local[:, :2] / local[:, 2:]

    def residuals(self, x):
        return (self.images(x) - self.seen).reshape(-1)


def main():
    scene = Scene()
    f, x0 = scene.residuals, scene.start
    pattern = bp.sparse.sparsity(f, x0)
    share = pattern.nnz / np.prod(pattern.shape)
    print(f"{scene.cameras} cameras, {scene.points} points")
    print(f"Jacobian {pattern.shape}, {share:.2%} of it not zero")

    def run(name, **given):
        begin = time.perf_counter()
        found = least_squares(f, x0, x_scale="jac", ftol=1e-8, max_nfev=20, **given)
        seconds = time.perf_counter() - begin
        pixels = np.sqrt(2.0 * found.cost / scene.camera.size)
        print(f"  {name:28} {seconds:6.2f} s, {found.njev} Jacobians, error {pixels:.3f} pixels")
        return found

    exact = run("exact sparse Jacobian", **bp.sparse.for_least_squares(f))
    found = run("differences, jac_sparsity", jac_sparsity=pattern)
    assert np.isclose(exact.cost, found.cost, rtol=1e-3)
    dense = bp.jacobian(f)(x0)
    assert np.allclose(bp.sparse.jacobian(f, x0).toarray(), dense)
    return scene, pattern, exact.x


def draw(scene, pattern, x):
    """Draw what one camera sees, and where the Jacobian is not zero."""
    import matplotlib.pyplot as plt

    figure, (image, jacobian) = plt.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
    first = scene.camera == 0
    for name, at, marker in (("start", scene.start, "x"), ("fitted", x, ".")):
        image.plot(*scene.images(at)[first].T, marker, label=name)
    image.plot(*scene.seen[first].T, "o", mfc="none", mec="black", label="seen")
    image.set(title="points in the first camera, pixels", aspect="equal")
    image.legend()
    jacobian.spy(pattern[:600, :600], markersize=1)
    jacobian.set_title("Jacobian, first 600 rows and columns", pad=20)
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
