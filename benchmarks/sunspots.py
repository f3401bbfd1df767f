"""The yearly sunspot numbers: the series, linear forecasts, and the gradient of an RNN's error.

``examples/sunspots.py`` trains the same model.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

import fastbp as bp
from fastbp.recurrent import loops

from .recurrent import Model
from .registry import at_most, bench, faster

__all__ = ["autoregression", "init", "load"]


@cache
def load() -> tuple[np.ndarray, np.ndarray]:
    """Load years and sunspot numbers (``data/README.md`` says where they are from)."""
    source = resources.files(__package__) / "data" / "sunspots.csv"
    with source.open(encoding="ascii") as lines:
        years, numbers = np.loadtxt(lines, delimiter=",", skiprows=1, unpack=True)
    years.flags.writeable = numbers.flags.writeable = False
    return years.astype(int), numbers


def autoregression(series: np.ndarray, order: int, count: int) -> np.ndarray:
    """Forecast each value from the `order` values before it, by least squares.

    Parameters
    ----------
    series : ndarray, shape (T,)
    order : int
    count : int
        Length of the part at the beginning that the coefficients are fitted to.

    Returns
    -------
    ndarray, shape (T,)
        Forecasts; NaN for the first `order` values.
    """
    rows = np.lib.stride_tricks.sliding_window_view(series[:-1], order)
    rows = np.column_stack([rows, np.ones(len(rows))])
    fitted = count - order
    coefficients = np.linalg.lstsq(rows[:fitted], series[order:count])[0]
    return np.concatenate([np.full(order, np.nan), rows @ coefficients])


def init(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights of an RNN of n units with one input, one output and a short cut."""
    rng = np.random.default_rng(seed)
    shapes = {"W": (n, n), "U": (1, n), "b": (n,), "v": (n,), "a": (1,), "c": (1,)}
    scale = 0.5 / np.sqrt(n)
    return {name: scale * rng.standard_normal(shape) for name, shape in shapes.items()}


def loss(p, x, t, by_loop=False):
    """Mean square error of ``hs @ v + x * a + c``, from a state of zeros."""
    cell = {name: p[name] for name in "WUb"}
    zeros = np.zeros(len(p["b"]))
    if by_loop:
        hs = loops.run("rnn", {"xs": x, "h0": zeros, **cell})
    else:
        hs, _ = bp.recurrent.rnn(x, zeros, **cell)
    error = hs @ p["v"] + x @ p["a"] + p["c"] - t
    return (error * error).mean()


def torch_step(inputs, **_):
    import torch

    p = {name: torch.tensor(value) for name, value in inputs.items()}
    cell = torch.nn.RNN(1, len(p["b"])).double()
    ours = {"W": cell.weight_hh_l0, "U": cell.weight_ih_l0, "b": cell.bias_ih_l0}
    with torch.no_grad():
        cell.bias_hh_l0.zero_()
        for name, leaf in ours.items():
            leaf.copy_(p[name].T if name in "WU" else p[name])
    leaves = ours | {name: p[name].requires_grad_() for name in "vac"}

    def run():
        hs, _ = cell(p["x"])
        error = hs @ p["v"] + p["x"] @ p["a"] + p["c"] - p["t"]
        value = (error * error).mean()
        found = torch.autograd.grad(value, list(leaves.values()))
        return value, {k: g.T if k in "WU" else g for k, g in zip(leaves, found, strict=True)}

    return run


def jax_step(inputs, **_):
    import jax
    from jax import lax
    from jax import numpy as jnp

    data = {name: jax.device_put(value) for name, value in inputs.items()}
    x, t = data.pop("x"), data.pop("t")

    def value(p, x, t):
        def step(h, row):
            h = jnp.tanh(h @ p["W"] + row)
            return h, h

        hs = lax.scan(step, jnp.zeros(len(p["b"])), x @ p["U"] + p["b"])[1]
        error = hs @ p["v"] + x @ p["a"] + p["c"] - t
        return (error * error).mean()

    gradient = jax.jit(jax.value_and_grad(value))
    return lambda: jax.block_until_ready(gradient(data, x, t))


@bench("recurrent")
class SunspotGradient(Model):
    """Value and gradient of an RNN that forecasts 308 yearly sunspot numbers: mean square error."""

    loss = staticmethod(loss)
    params = {"n": (4, 16)}
    peers = {"torch": torch_step, "jax": jax_step}

    def setup(self, n):
        series = load()[1] / 100
        self.prepare(init(n), series[:-1, None].copy(), series[1:].copy())

    @classmethod
    def targets(cls, n):
        return {"torch": faster(20), "jax": at_most(1.1) if n == 4 else faster(1)}
