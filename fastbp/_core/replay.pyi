"""A plan as it is called: arrays in, arrays out."""

from typing import Any, final

import numpy as np

from fastbp._core.machine import Machine

class StrongZeroError(ArithmeticError): ...

def strong_zeros_met() -> int: ...

@final
class Plan:
    machine: Machine
    inputs: list[Any]
    returned: list[Any]
    facts: list[Any]
    steps: list[Any]
    n_inputs: int
    n_outputs: int
    def __init__(
        self,
        machine: Machine,
        inputs: list[Any],
        outputs: list[Any],
        facts: list[Any],
        steps: list[Any] | None = None,
    ) -> None: ...
    def __call__(self, *arrays: np.ndarray) -> list[np.ndarray]: ...
    def empty(self) -> list[np.ndarray]: ...
