"""A multilayer perceptron: the loss, its hand-written gradient, and the peers' versions."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from .checking import check_projection, compare
from .registry import Bench, at_most, bench, faster

NUMPY = "NumPy by hand"


def init(layers: int, batch: int, width: int) -> dict[str, np.ndarray]:
    """Return weights ``W0..``, biases ``b0..``, inputs ``x``, targets ``t`` of a square network."""
    rng = np.random.default_rng(layers)
    inputs = {f"W{i}": rng.standard_normal((width, width)) / np.sqrt(width) for i in range(layers)}
    inputs.update({f"b{i}": 0.1 * rng.standard_normal(width) for i in range(layers)})
    return inputs | {name: rng.standard_normal((batch, width)) for name in "xt"}


def split(inputs: dict) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return the parameters, the inputs and the targets."""
    return {k: v for k, v in inputs.items() if k[0] in "Wb"}, inputs["x"], inputs["t"]


def loss(params, x, t, tanh=np.tanh):
    """Mean square error of a network with tanh after every layer but the last."""
    last = len(params) // 2 - 1
    for i in range(last):
        x = tanh(x @ params[f"W{i}"] + params[f"b{i}"])
    error = x @ params[f"W{last}"] + params[f"b{last}"] - t
    return (error * error).mean()


def by_hand(params, x, t):
    """Value and gradient of `loss` as one writes them without a library."""
    last = len(params) // 2 - 1
    hidden = [x]
    for i in range(last):
        hidden.append(np.tanh(hidden[i] @ params[f"W{i}"] + params[f"b{i}"]))
    error = hidden[last] @ params[f"W{last}"] + params[f"b{last}"] - t
    g = error * (2 / error.size)
    gradient = {}
    for i in range(last, -1, -1):
        gradient[f"W{i}"] = hidden[i].T @ g
        gradient[f"b{i}"] = g.sum(axis=0)
        if i > 0:
            g = (g @ params[f"W{i}"].T) * (1 - hidden[i] * hidden[i])
    return np.mean(error * error), gradient


def torch_step(inputs, **_):
    import torch

    params, x, t = split({name: torch.tensor(value) for name, value in inputs.items()})
    leaves = [value.requires_grad_() for value in params.values()]

    def run():
        value = loss(params, x, t, torch.tanh)
        return value, dict(zip(params, torch.autograd.grad(value, leaves), strict=True))

    return run


def jax_step(inputs, **_):
    import jax

    params, x, t = split({name: jax.device_put(value) for name, value in inputs.items()})
    gradient = jax.jit(jax.value_and_grad(lambda p, x, t: loss(p, x, t, jax.numpy.tanh)))
    return lambda: jax.block_until_ready(gradient(params, x, t))


def autograd_step(inputs, **_):
    import autograd

    params, x, t = split(inputs)
    gradient = autograd.value_and_grad(lambda p, x, t: loss(p, x, t, autograd.numpy.tanh))
    return lambda: gradient(params, x, t)


class Network(Bench):
    """What the benchmarks of the perceptron share."""

    layers = 3
    peers = {"torch": torch_step, "jax": jax_step, "autograd": autograd_step}

    def setup(self, batch, width):
        self.inputs = init(self.layers, batch, width)
        self.arguments = split(self.inputs)
        self.gradient = bp.value_and_grad(loss)

    def run(self):
        return self.gradient(*self.arguments)

    def check(self):
        params, x, t = self.arguments
        value, gradient = self.run()
        check_projection(
            lambda *leaves: loss(dict(zip(params, leaves, strict=True)), x, t),
            list(params.values()),
            [gradient[name] for name in params],
        )
        return compare([value, gradient], by_hand(params, x, t), 1e-11, "gradient")

    def against(self):
        return {NUMPY: lambda: by_hand(*self.arguments)}


@bench("mlp")
class MlpGradient(Network):
    """Value and gradient of a tanh network of three layers, mean square error."""

    params = {"batch": (32,), "width": (64,)}

    @classmethod
    def targets(cls, batch, width):
        return {NUMPY: at_most(1.5), "torch": faster(2), "jax": faster(1, threads="one")}
