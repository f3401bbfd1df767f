"""Peak memory of a reverse sweep."""

from __future__ import annotations

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
