"""Peak memory of reverse sweeps, and of the same compiled."""

from __future__ import annotations

import fastbp as bp

from .compiled import Loops
from .mlp import Network
from .registry import at_most, bench


@bench("memory")
class MlpMemory(Network):
    """Rise of resident memory during value and gradient of a tanh network of eight layers."""

    layers = 8
    params = {"batch": (1024,), "width": (512,)}
    quick = {"batch": (64,)}
    threaded = False  # what it measures does not depend on them
    unit = "bytes"
    # Eight layers of 512: the order of summation differs more.
    rtol = 1e-8

    @classmethod
    def targets(cls, batch, width):
        return {"torch": at_most(1.0)}


@bench("memory")
class CompiledMlpMemory(MlpMemory):
    """Rise of resident memory during a call of the same, compiled; recording it takes more."""

    def setup(self, batch, width):
        super().setup(batch, width)
        self.gradient = bp.compile(self.gradient)
        self.run()

    @classmethod
    def targets(cls, batch, width):
        return {"jax": at_most(1.0)}


@bench("memory")
class LoopMemory(Loops):
    """The same of the compiled gradient of a recurrent network."""

    params = {"case": ("rnn 200, 256, 32",), "dtype": ("float64",)}
    threaded = False
    unit = "bytes"

    def setup(self, case, dtype):
        super().setup(case, dtype)
        self.run()

    @classmethod
    def targets(cls, case, dtype):
        return {"jax": at_most(1.0)}
