"""Sparse Jacobians and Hessians, found by themselves, and sparse operands.

>>> import numpy as np
>>> import fastbp as bp
>>> def f(x):
...     return x[1:] ** 2 - x[:-1]
>>> bp.sparse.sparsity(f, np.zeros(4)).toarray().astype(int)
array([[1, 1, 0, 0],
       [0, 1, 1, 0],
       [0, 0, 1, 1]])
"""

from fastbp.sparse.patterns import sparsity

__all__ = ["sparsity"]
