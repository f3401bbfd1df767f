"""The forward sweep: tangents, from inputs to outputs."""

from typing import final

from fastbp._core.sweep_base import Sweep

@final
class ForwardSweep(Sweep): ...
