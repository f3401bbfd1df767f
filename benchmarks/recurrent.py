"""Recurrent cells: gradients through whole sequences, and the peers' own cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

import fastbp as bp
from fastbp._core import blas
from fastbp.recurrent import loops

from .checking import DTYPES, check_projection, compare, compare_with_exact, in_dtype
from .registry import Bench, at_most, bench, faster

GEMMS = "the products alone"
SIZES = {  # steps, units (and inputs), batch
    "T=50, n=32, batch=1": (50, 32, 1),
    "T=100, n=64, batch=16": (100, 64, 16),
    "T=100, n=256, batch=32": (100, 256, 32),
    "T=200, n=256, batch=32": (200, 256, 32),
}
SMALL, MIDDLE, SHORT, LARGE = SIZES
SMALL_AGAINST_JAX = (faster(3, threads="one"), faster(4, threads="default"))
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def init(cell: str, steps: int, n: int, batch: int) -> dict[str, np.ndarray]:
    """Return operands by name, and ``weights``, the cotangent of the states."""
    rng = np.random.default_rng(n)
    width = GATES[cell] * n
    p = {"xs": rng.standard_normal((steps, batch, n)), "h0": rng.standard_normal((batch, n))}
    if cell == "lstm":
        p["c0"] = rng.standard_normal((batch, n))
    p["W"], p["U"] = (rng.standard_normal((n, width)) / np.sqrt(n) for _ in range(2))
    p["b"] = 0.1 * rng.standard_normal(width)
    return p | {"weights": rng.standard_normal((steps, batch, n))}


def split(inputs: dict) -> tuple[dict, np.ndarray]:
    return {k: v for k, v in inputs.items() if k != "weights"}, inputs["weights"]


def run_cell(cell: str, p: dict):
    """The states, by the fused cell."""
    state = (p["h0"], p["c0"]) if cell == "lstm" else p["h0"]
    return getattr(bp.recurrent, cell)(p["xs"], state, W=p["W"], U=p["U"], b=p["b"])[0]


def products(steps: int, n: int, batch: int, dtype):
    """Return the matrix products that the gradient of `rnn` cannot do without, as BLAS calls."""
    rng = np.random.default_rng(0)
    hs, gs, xs = (rng.standard_normal((steps, batch, n)).astype(dtype) for _ in range(3))
    W = rng.standard_normal((n, n)).astype(dtype)
    flat, out = [a.reshape(-1, n) for a in (hs, gs, xs)], np.empty((n, n), dtype)
    rows = np.empty((steps * batch, n), dtype)

    def run():
        blas.gemm(flat[2], W, out=rows)
        for h, g in zip(hs, gs, strict=True):
            blas.gemm(h, W, beta=0.0, out=g)
        for h, g in zip(hs, gs, strict=True):
            blas.gemm(g, W, beta=0.0, out=h)
        blas.gemm(flat[0], flat[1], trans_a=True, out=out)
        blas.gemm(flat[2], flat[1], trans_a=True, out=out)
        blas.gemm(flat[1], W, out=rows)

    return run


def torch_cell(cell: str, p: dict):
    """Return a function that computes the states, and what to differentiate by, by name."""
    import torch

    n = p["h0"].shape[-1]
    dtype = getattr(torch, p["h0"].dtype.name)
    model = getattr(torch.nn, cell.upper())(n, n).to(dtype)
    with torch.no_grad():
        model.weight_hh_l0.copy_(torch.tensor(p["W"].T.copy()))
        model.weight_ih_l0.copy_(torch.tensor(p["U"].T.copy()))
        model.bias_ih_l0.copy_(torch.tensor(p["b"]))
        model.bias_hh_l0.zero_().requires_grad_(False)
    state = [k for k in ("h0", "c0") if k in p]
    leaves = {k: torch.tensor(p[k]).requires_grad_() for k in ("xs", *state)}
    weights = {"W": model.weight_hh_l0, "U": model.weight_ih_l0, "b": model.bias_ih_l0}

    def states():
        first = tuple(leaves[k][None] for k in state)
        return model(leaves["xs"], first if cell == "lstm" else first[0])[0]

    return states, leaves | weights


def as_ours(names, found) -> dict:
    """Return torch's cotangents by name; its weights are transposed."""
    return {k: g.T if k in "WU" else g for k, g in zip(names, found, strict=True)}


def torch_step(cell: str):
    def step(inputs, **_):
        import torch

        p, weights = split(inputs)
        states, ends = torch_cell(cell, p)
        scale = torch.tensor(weights)

        def run():
            return as_ours(ends, torch.autograd.grad(states(), list(ends.values()), scale))

        return run

    return step


def torch_loss(inputs, **_):
    import torch

    p, weights = split(inputs)
    states, ends = torch_cell("rnn", p)
    wanted = torch.tensor(weights)

    def run():
        for x in ends.values():
            x.grad = None
        loss = torch.nn.functional.mse_loss(states(), wanted)
        loss.backward()
        return loss.detach(), as_ours(ends, [x.grad for x in ends.values()])

    return run


def jax_states(cell: str):
    """Return a function that computes the states."""
    from jax import lax, nn
    from jax import numpy as jnp

    def rnn(h, x, W):
        h = jnp.tanh(h @ W + x)
        return h, h

    def lstm(state, x, W):
        i, f, g, o = jnp.split(state[0] @ W + x, 4, axis=-1)
        c = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(h, x, W):
        (xr, xz, xn), (hr, hz, hn) = (jnp.split(a, 3, axis=-1) for a in (x, h @ W))
        z = nn.sigmoid(xz + hz)
        h = (1 - z) * jnp.tanh(xn + nn.sigmoid(xr + hr) * hn) + z * h
        return h, h

    body = {"rnn": rnn, "lstm": lstm, "gru": gru}[cell]

    def states(p):
        state = (p["h0"], p["c0"]) if cell == "lstm" else p["h0"]
        projected = p["xs"] @ p["U"] + p["b"]
        return lax.scan(lambda s, x: body(s, x, p["W"]), state, projected)[1]

    return states


def jax_step(cell: str):
    def step(inputs, **_):
        import jax

        p, weights = split({name: jax.device_put(value) for name, value in inputs.items()})
        states = jax_states(cell)
        gradient = jax.jit(lambda p, weights: jax.vjp(states, p)[1](weights)[0])
        return lambda: jax.block_until_ready(gradient(p, weights))

    return step


def jax_loss(inputs, **_):
    import jax
    from jax import numpy as jnp

    p, weights = split({name: jax.device_put(value) for name, value in inputs.items()})
    states = jax_states("rnn")
    both = jax.jit(jax.value_and_grad(lambda p, y: jnp.mean((states(p) - y) ** 2)))
    return lambda: jax.block_until_ready(both(p, weights))


class Cell(Bench):
    """What the benchmarks of the cells share: all gradients of ``sum(hs * weights)``.

    The weights are given to every library as the cotangent of the states, so that what is timed is
    the cell and not the loss.
    """

    cell = "rnn"

    def setup(self, size, dtype):
        self.size = SIZES[size]
        self.exact = init(self.cell, *self.size)
        self.inputs = in_dtype(self.exact, dtype)
        self.p, self.weights = split(self.inputs)
        self.leaves = {name: bp.variable(x) for name, x in self.p.items()}

    def loss(self, p, weights):
        return np.sum(run_cell(self.cell, p) * weights)

    def by_loop(self, p, weights):
        out = loops.run(self.cell, p)
        hs = out[0] if self.cell == "lstm" else out
        return np.sum(hs * weights)

    def run(self):
        hs = run_cell(self.cell, self.leaves)
        found = bp.gradients(hs, list(self.leaves.values()), self.weights)
        return dict(zip(self.leaves, found, strict=True))

    def gradient(self):
        return self.run()

    def check(self):
        p, weights = split(self.exact)
        exact = bp.grad(self.by_loop)(p, weights)
        check_projection(
            lambda *leaves: self.loss(dict(zip(p, leaves, strict=True)), weights),
            list(p.values()),
            [exact[name] for name in p],
        )
        return compare_with_exact(self.gradient(), exact)


class Model(Bench):
    """What the trained models share: value and gradient of a loss by all weights.

    ``loss(weights, x, t, by_loop=False)``, a static method, takes the fused cell or the plain loop.
    """

    loss: ClassVar[Callable]

    def prepare(self, weights: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray) -> None:
        self.weights, self.x, self.t = weights, x, t
        self.inputs = {**weights, "x": x, "t": t}
        self.gradient = bp.value_and_grad(self.loss)

    def run(self):
        return self.gradient(self.weights, self.x, self.t)

    def check(self):
        value, gradient = self.run()
        check_projection(
            lambda *leaves: self.loss(dict(zip(self.weights, leaves, strict=True)), self.x, self.t),
            list(self.weights.values()),
            [gradient[name] for name in self.weights],
        )
        expected = self.gradient(self.weights, self.x, self.t, by_loop=True)
        return compare([value, gradient], expected, 1e-10, "gradient of the model")


@bench("recurrent")
class RnnGradient(Cell):
    """Gradient of a tanh network with respect to weights, bias, inputs and initial state."""

    params = {"size": (SMALL, MIDDLE, LARGE), "dtype": DTYPES}
    peers = {"torch": torch_step("rnn"), "jax": jax_step("rnn")}

    def against(self):
        return {GEMMS: products(*self.size, self.p["W"].dtype)} if self.size == SIZES[LARGE] else {}

    @classmethod
    def targets(cls, size, dtype):
        return {
            SMALL: {"torch": faster(40), "jax": SMALL_AGAINST_JAX},
            MIDDLE: {"torch": faster(4), "jax": faster(1.8)},
            LARGE: {
                GEMMS: at_most(1.1),
                "torch": (faster(1.25, threads="one"), faster(1.3, threads="default")),
                "jax": (faster(1.25, threads="one"), faster(1.9, threads="default")),
            },
        }[size]


@bench("recurrent")
class RnnLoss(Cell):
    """Mean squared error of a tanh network and its gradient, from plain arrays to plain arrays."""

    params = {"size": (SMALL,), "dtype": DTYPES}
    peers = {"torch": torch_loss, "jax": jax_loss}

    def setup(self, size, dtype):
        super().setup(size, dtype)
        self.both = bp.value_and_grad(self.loss)

    def loss(self, p, weights):
        return np.mean((run_cell(self.cell, p) - weights) ** 2)

    def by_loop(self, p, weights):
        return np.mean((loops.run(self.cell, p) - weights) ** 2)

    def run(self):
        return self.both(self.p, self.weights)

    def gradient(self):
        return self.run()[1]

    @classmethod
    def targets(cls, size, dtype):
        return {"torch": faster(40), "jax": SMALL_AGAINST_JAX}


@bench("recurrent")
class LstmGradient(Cell):
    """Gradient of an LSTM with respect to weights, bias, inputs and initial states."""

    cell = "lstm"
    params = {"size": (SMALL, MIDDLE, SHORT), "dtype": DTYPES}
    peers = {"torch": torch_step("lstm"), "jax": jax_step("lstm")}

    @classmethod
    def targets(cls, size, dtype):
        times = {SMALL: 2, MIDDLE: 1.3, SHORT: 1.2}[size]
        return {"torch": faster(times), "jax": faster(times)}


@bench("recurrent")
class GruGradient(Cell):
    """Gradient of a GRU with respect to weights, bias, inputs and initial state."""

    cell = "gru"
    params = {"size": (SMALL, MIDDLE, SHORT), "dtype": DTYPES}
    peers = {"torch": torch_step("gru"), "jax": jax_step("gru")}

    @classmethod
    def targets(cls, size, dtype):
        return {"torch": faster(1), "jax": faster(1)}
