"""NumPy's inner loops and the kernels of fastbp, called by pointer."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

def kernels() -> list[str]: ...
def has_loop(function: np.ufunc | str, dtype: DTypeLike) -> bool: ...
def call(function: np.ufunc | str, *operands: ArrayLike) -> NDArray[Any]: ...
