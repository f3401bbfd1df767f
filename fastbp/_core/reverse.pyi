"""The reverse sweep: cotangents, from outputs to inputs."""

from typing import final

from fastbp._core.sweep_base import Sweep

@final
class ReverseSweep(Sweep): ...
