"""Jacobians along trajectories on real data: Lyapunov spectra and norms, against loops in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import fastbp as bp

from . import characters, sunspots
from .checking import compare
from .registry import Bench, at_most, bench

__all__: list[str] = []

LOOP = "loop in NumPy"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def rnn_pushes(inputs: dict) -> Iterator[Callable]:
    """Yield, step by step, the product of the Jacobian of an RNN's step with a matrix."""
    W, h = inputs["W"], np.zeros(len(inputs["W"]))
    for row in inputs["xs"] @ inputs["U"] + inputs["b"]:
        h = np.tanh(h @ W + row)
        slopes = 1 - h * h
        yield lambda v, slopes=slopes: slopes[:, None] * (W.T @ v)


def lstm_pushes(inputs: dict) -> Iterator[Callable]:
    """Yield the same for an LSTM, whose state is h and c, one behind the other."""
    W, n = inputs["W"], len(inputs["W"])
    h, c = np.zeros((2, n))
    for row in inputs["xs"] @ inputs["U"] + inputs["b"]:
        i, f, g, o = np.split(h @ W + row, 4)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        new = f * c + i * g
        t = np.tanh(new)
        slopes = np.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), t * o * (1 - o)])
        h, c = o * t, new

        def push(v, slopes=slopes[:, :, None], f=f[:, None], outer=(o * (1 - t * t))[:, None]):
            gates = slopes * (W.T @ v[:n]).reshape(4, n, -1)
            below = f * v[n:] + gates[0] + gates[1] + gates[2]
            return np.concatenate([gates[3] + outer * below, below])

        yield push


def spectrum_by_hand(pushes: Iterator[Callable], size: int, k: int) -> np.ndarray:
    """Repeated QR from the first directions that `spectrum` takes."""
    start = np.random.default_rng(0).standard_normal((size, k)) + np.eye(size, k)
    q, growth, steps = np.linalg.qr(start)[0], np.zeros(k), 0
    for push in pushes:
        q, r = np.linalg.qr(push(q))
        growth += np.log(np.abs(np.diagonal(r)))
        steps += 1
    return growth / steps


def norms_by_hand(pushes: Iterator[Callable], size: int) -> np.ndarray:
    """Logarithms of the norms of the products, which are rescaled at every step."""
    product, scale, found = np.eye(size), 0.0, []
    for push in pushes:
        product = push(product)
        norm = np.linalg.norm(product)
        product /= norm
        scale += np.log(norm)
        found.append(scale)
    return np.array(found)


class Trajectory(Bench):
    """What both share: a cell, its seeded weights, and a sequence of real inputs."""

    params = {"model": ("characters", "sunspots")}

    def setup(self, model, k=0):
        if model == "characters":
            text = characters.load()
            p = characters.init(len(text.alphabet), 64)
            xs = np.eye(len(text.alphabet))[text.test[:200]]
            zeros = np.zeros((2, 64))
            self.cell, self.pushes, self.start = bp.recurrent.lstm, lstm_pushes, tuple(zeros)
        else:
            p, xs, zeros = sunspots.init(4), sunspots.load()[1][:, None] / 100, np.zeros(4)
            self.cell, self.pushes, self.start = bp.recurrent.rnn, rnn_pushes, zeros
        self.k, self.size = k, zeros.size
        self.weights = {name: p[name] for name in "WUb"}
        self.inputs = {**self.weights, "xs": xs}

    def chain(self):
        xs = self.inputs["xs"]
        return bp.recurrent.trajectory_jacobians(self.cell, self.start, xs, **self.weights)

    def against(self):
        return {LOOP: self.by_hand}


@bench("chain")
class TrajectorySpectrum(Trajectory):
    """Largest Lyapunov exponents along a trajectory, from the inputs on, against a loop of QR."""

    params = Trajectory.params | {"k": (1, 4)}

    def run(self):
        return self.chain().spectrum(self.k)

    def by_hand(self):
        return spectrum_by_hand(self.pushes(self.inputs), self.size, self.k)

    def check(self):
        return compare(self.run(), self.by_hand(), 1e-10, "spectrum")

    @classmethod
    def targets(cls, model, k):
        return {LOOP: at_most(1.1)}


@bench("chain")
class TrajectoryNorms(Trajectory):
    """Norms of all products along a trajectory, from the inputs on, against a loop of products."""

    def run(self):
        return self.chain().norms().cumulative

    def by_hand(self):
        return norms_by_hand(self.pushes(self.inputs), self.size)

    def check(self):
        return compare(self.run(), self.by_hand(), 1e-10, "norms")

    @classmethod
    def targets(cls, model):
        # Matrices of 4 x 4 measure the interpreter.
        return {LOOP: at_most(1.1)} if model == "characters" else {}


# ---- steps as users write them

JACOBIANS = "fastbp.jacobian in a loop"
STEPS = 50


def lorenz_63(h):
    """A step of the classical Runge-Kutta method."""
    return runge_kutta(
        lambda x: np.stack(
            [10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]]
        ),
        h,
    )


def lorenz_96(h):
    """A step of the same for a ring of variables."""
    return runge_kutta(lambda x: (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0, h)


def runge_kutta(f: Callable, h: np.ndarray, dt: float = 0.01) -> np.ndarray:
    k1 = f(h)
    k2 = f(h + dt / 2 * k1)
    k3 = f(h + dt / 2 * k2)
    return h + dt / 6 * (k1 + 2 * (k2 + k3) + f(h + dt * k3))


WEIGHTS = np.random.default_rng(6).standard_normal((64, 64)) / 8
MAPS = {
    "lorenz 63": (lorenz_63, np.array([1.0, 2.0, 3.0])),
    "lorenz 96, 40": (lorenz_96, np.random.default_rng(7).standard_normal(40)),
    "lorenz 96, 400": (lorenz_96, np.random.default_rng(7).standard_normal(400)),
    "tanh, 64": (lambda h: np.tanh(h @ WEIGHTS), np.random.default_rng(8).standard_normal(64)),
}


@bench("chain")
class RecordedTrajectory(Bench):
    """The Jacobians of 50 steps of any recorded map against those of its steps one by one."""

    params = {"map": tuple(MAPS)}
    quick = {"map": tuple(MAPS)[:1]}
    per = STEPS

    def setup(self, map):
        self.step, self.start = MAPS[map]
        self.jacobian = bp.jacobian(self.step)
        self.inputs = {}

    def run(self):
        chain = bp.recurrent.trajectory_jacobians(self.step, self.start, length=STEPS)
        return list(chain)

    def by_steps(self):
        h, found = self.start, []
        for _ in range(STEPS):
            found.append(self.jacobian(h))
            h = self.step(h)
        return found

    def check(self):
        found = [link.to_dense() for link in self.run()[::-1]]
        return compare(found, self.by_steps(), 1e-12, "Jacobians")

    def against(self):
        return {JACOBIANS: self.by_steps}

    @classmethod
    def targets(cls, map):
        return {JACOBIANS: at_most(1)}
