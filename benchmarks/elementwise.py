"""Elementwise work: the cost of one small recorded operation, and of long arrays."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from .checking import check_projection, compare
from .registry import Bench, Target, at_most, bench, faster

STEPS = 100
FORWARD = "NumPy forward"
NUMPY = "NumPy by hand"


def chain(x, w):
    """Apply ``x * w + w`` again and again: two operations a step, on anything with operators."""
    for _ in range(STEPS):
        x = x * w + w
    return x


def chain_by_hand(x, w, g):
    """VJP of `chain`, from the recursion of its derivatives forward in step."""
    by_x, by_w = np.ones_like(x), np.zeros_like(w)
    for _ in range(STEPS):
        by_x, by_w, x = by_x * w, by_w * w + x + 1, x * w + w
    return g * by_x, g * by_w


def chain_inputs(n):
    rng = np.random.default_rng(n)
    return {"x": rng.standard_normal(n), "w": rng.uniform(0.3, 0.9, n), "g": rng.standard_normal(n)}


def torch_chain(inputs, n):
    import torch

    x, w, g = (torch.tensor(inputs[name]) for name in "xwg")
    x.requires_grad_()
    w.requires_grad_()
    return lambda: torch.autograd.grad(chain(x, w), [x, w], g)


def autograd_chain(inputs, n):
    import autograd

    pullback = autograd.make_vjp(chain, argnum=[0, 1])
    x, w, g = (inputs[name] for name in "xwg")
    return lambda: pullback(x, w)[0](g)


@bench("elementwise")
class ChainForward(Bench):
    """Recording x * w + w on 16 numbers, per operation."""

    params = {"n": (16,)}
    per = 2 * STEPS
    threaded = False

    def setup(self, n):
        self.inputs = chain_inputs(n)
        self.x, self.w = bp.variable(self.inputs["x"]), bp.variable(self.inputs["w"])

    def run(self):
        return chain(self.x, self.w).value

    def check(self):
        return compare(self.run(), chain(self.inputs["x"], self.inputs["w"]), 1e-13, "chain")

    def against(self):
        x, w = self.inputs["x"], self.inputs["w"]
        return {FORWARD: lambda: chain(x, w)}


@bench("elementwise")
class ChainGradient(Bench):
    """Recording x * w + w on 16 numbers and sweeping back, per operation."""

    params = {"n": (16,)}
    per = 2 * STEPS
    threaded = False
    peers = {"torch": torch_chain, "autograd": autograd_chain}

    def setup(self, n):
        self.inputs = chain_inputs(n)
        self.x, self.w = bp.variable(self.inputs["x"]), bp.variable(self.inputs["w"])
        self.g = self.inputs["g"]

    def run(self):
        return bp.gradients(chain(self.x, self.w), [self.x, self.w], self.g)

    def check(self):
        return compare(self.run(), chain_by_hand(**self.inputs), 1e-12, "chain gradient")

    def against(self):
        x, w = self.inputs["x"], self.inputs["w"]
        return {FORWARD: lambda: chain(x, w)}

    @classmethod
    def targets(cls, n):
        return {FORWARD: at_most(1.5), "torch": faster(10), "autograd": faster(25)}


# ---- complex numbers


def energy(z, w, m=np):
    """Sum of the squared absolute values of the chain, with the functions of module `m`."""
    return m.sum(m.abs(chain(z, w)) ** 2)


def energy_by_hand(z, w):
    """Value and gradients of `energy`, dL/dx - i dL/dy of each z = x + i y."""
    end = chain(z, w)
    return np.sum(np.abs(end) ** 2), chain_by_hand(z, w, 2 * np.conj(end))


def complex_inputs(n):
    rng = np.random.default_rng(n)
    turns, sizes = rng.uniform(0, 2 * np.pi, (2, n)), np.stack([np.ones(n), np.full(n, 0.9)])
    return dict(zip("zw", sizes * np.exp(1j * turns), strict=True))


def autograd_energy(inputs, n):
    import autograd

    gradient = autograd.value_and_grad(lambda z, w: energy(z, w, autograd.numpy), (0, 1))
    return lambda: gradient(*inputs.values())


@bench("elementwise")
class ComplexChainGradient(Bench):
    """Value and gradients of sum(abs(z)**2) after z * w + w on 16 complex numbers, an operation."""

    params = {"n": (16,)}
    per = 2 * STEPS
    threaded = False
    peers = {"autograd": autograd_energy}

    def setup(self, n):
        self.inputs = complex_inputs(n)
        self.gradient = bp.value_and_grad(energy, argnums=(0, 1))

    def run(self):
        return self.gradient(*self.inputs.values())

    def check(self):
        return compare(self.run(), energy_by_hand(**self.inputs), 1e-12, "gradients")

    def against(self):
        return {FORWARD: lambda: energy(**self.inputs)}

    @classmethod
    def targets(cls, n) -> dict[str, Target]:
        return {"autograd": faster(15)}


# ---- long arrays


def wave(x, m=np):
    """Sum of ``sin(x) exp(tanh(x))``, with the functions of module `m`."""
    return m.sum(m.sin(x) * m.exp(m.tanh(x)))


def wave_by_hand(x):
    """Value and gradient of `wave`."""
    sine, slope = np.sin(x), np.tanh(x)
    growth = np.exp(slope)
    return np.sum(sine * growth), growth * (np.cos(x) + sine * (1 - slope * slope))


def torch_wave(inputs, n):
    import torch

    x = torch.tensor(inputs["x"], requires_grad=True)

    def run():
        value = wave(x, torch)
        return value, *torch.autograd.grad(value, [x])

    return run


def jax_wave(inputs, n):
    import jax

    x = jax.device_put(inputs["x"])
    gradient = jax.jit(jax.value_and_grad(lambda x: wave(x, jax.numpy)))
    return lambda: jax.block_until_ready(gradient(x))


def autograd_wave(inputs, n):
    import autograd

    gradient = autograd.value_and_grad(lambda x: wave(x, autograd.numpy))
    return lambda: gradient(inputs["x"])


@bench("elementwise")
class WaveGradient(Bench):
    """Value and gradient of sum(sin(x) exp(tanh(x))) on long arrays."""

    params = {"n": (100_000, 1_000_000)}
    quick = {"n": (100_000,)}
    threaded = False
    peers = {"torch": torch_wave, "jax": jax_wave, "autograd": autograd_wave}

    def setup(self, n):
        self.inputs = {"x": np.random.default_rng(n).standard_normal(n)}
        self.gradient = bp.value_and_grad(wave)

    def run(self):
        return self.gradient(self.inputs["x"])

    def check(self):
        x = self.inputs["x"]
        value, gradient = self.run()
        check_projection(wave, [x], [gradient])
        return compare([value, gradient], wave_by_hand(x), 1e-12, "gradient")

    def against(self):
        return {NUMPY: lambda: wave_by_hand(self.inputs["x"])}

    @classmethod
    def targets(cls, n):
        return {"torch": faster(1.5), "autograd": faster(2)}
