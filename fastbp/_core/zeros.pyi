"""Which zeros of a (co)tangent are exact."""

from typing import Any

from numpy.typing import NDArray

SPREAD: NDArray[Any]
