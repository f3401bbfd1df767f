"""Operands that are not Variables, brought to arrays."""

from typing import Any

from numpy.typing import NDArray

def as_array(x: Any, what: str = "an operand") -> NDArray[Any]: ...
def as_numbers(x: Any, what: str = "an operand", real: bool = False) -> NDArray[Any]: ...
