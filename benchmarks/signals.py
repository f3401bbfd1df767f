"""Gradients through long vectors: a spectrum, a convolution, a sort."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from .checking import check_projection
from .registry import Bench, Target, bench, faster

SIZES = {"spectrum": 2**16, "convolution": 10**5, "order": 10**6}
TAPS = 10**3


def spectrum(np, c, x):
    """Weigh the power of every frequency."""
    z = np.fft.rfft(x)
    return ((z.real**2 + z.imag**2) * c["frequencies"]).sum()


def convolution(np, c, x):
    """Weigh the power of a signal filtered by a long window."""
    return (np.convolve(x, c["window"]) ** 2 * c["filtered"]).sum()


def order(np, c, x):
    """Weigh the squares of elements by their ranks."""
    return (np.sort(x) ** 2 * c["ranks"]).sum()


LOSSES = {f.__name__: f for f in (spectrum, convolution, order)}


def torch_loss(function, torch, c, x):
    """Return the loss as PyTorch has it."""
    if function == "spectrum":
        z = torch.fft.rfft(x)
        return ((z.real**2 + z.imag**2) * c["frequencies"]).sum()
    if function == "convolution":
        window = c["window"].flip(0)[None, None]
        y = torch.nn.functional.conv1d(x[None, None], window, padding=TAPS - 1)[0, 0]
        return (y**2 * c["filtered"]).sum()
    return (torch.sort(x).values ** 2 * c["ranks"]).sum()


def torch_gradient(inputs, function):
    import torch

    c = {name: torch.tensor(value) for name, value in inputs.items()}
    x = c.pop("x").requires_grad_()
    return lambda: torch.autograd.grad(torch_loss(function, torch, c, x), x)[0]


def jax_gradient(inputs, function):
    import jax

    c = jax.device_put(dict(inputs))
    x = c.pop("x")
    gradient = jax.jit(jax.grad(lambda x: LOSSES[function](jax.numpy, c, x)))
    return lambda: jax.block_until_ready(gradient(x))


class Signals(Bench):
    """What both share: the gradient with respect to a long vector."""

    params = {"function": tuple(LOSSES)}
    rtol = 1e-7
    transform = staticmethod(bp.grad)

    def setup(self, function):
        rng = np.random.default_rng(3)
        n = SIZES[function]
        self.inputs = {"x": rng.standard_normal(n)}
        if function == "spectrum":
            self.inputs["frequencies"] = rng.standard_normal(n // 2 + 1)
        elif function == "convolution":
            self.inputs["window"] = rng.standard_normal(TAPS)
            self.inputs["filtered"] = rng.standard_normal(n + TAPS - 1)
        else:
            # Neighbours weigh nearly the same, which keeps differences near the slope.
            self.inputs["ranks"] = np.linspace(-1.0, 1.0, n)
        loss = LOSSES[function]
        self.loss = lambda x: loss(np, self.inputs, x)
        self.gradient = self.transform(self.loss)

    def run(self):
        return self.gradient(self.inputs["x"])

    def check(self):
        # A difference lets neighbours change places.
        rtol = 1e-5 if "ranks" in self.inputs else 1e-6
        return check_projection(self.loss, [self.inputs["x"]], [self.run()], rtol)


@bench("signals")
class SignalGradient(Signals):
    """The gradient with respect to a long vector; recorded anew."""

    peers = {"torch": torch_gradient}

    @classmethod
    def targets(cls, function) -> dict[str, Target]:
        return {"torch": faster(1)}


@bench("signals")
class CompiledSignalGradient(Signals):
    """The same by compiled functions, JAX's by jit."""

    peers = {"jax": jax_gradient}

    @staticmethod
    def transform(loss):
        return bp.compile(bp.grad(loss))

    @classmethod
    def targets(cls, function) -> dict[str, Target]:
        return {"jax": faster(1)}
