"""The dtypes of recorded values: the one place that knows them."""

from numpy import dtype
from numpy.typing import DTypeLike

DIFFERENTIABLE: tuple[dtype, ...]
FLOATS: tuple[dtype, ...]
NAMES: str

def check(dtype: DTypeLike, what: str) -> dtype: ...
def conversion(dtype: dtype, x: str = "x") -> str: ...
def slot(dtype: DTypeLike) -> int: ...
