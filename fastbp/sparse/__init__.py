"""Sparse Jacobians and Hessians, found by themselves, and sparse operands.

>>> import numpy as np
>>> import fastbp as bp
>>> def f(x):
...     return x[1:] ** 2 - x[:-1]
>>> bp.sparse.jacobian(f, np.arange(4.0)).toarray()
array([[-1.,  2.,  0.,  0.],
       [ 0., -1.,  4.,  0.],
       [ 0.,  0., -1.,  6.]])
"""

from fastbp.sparse.adapters import for_least_squares, for_minimize, for_root, for_solve_ivp
from fastbp.sparse.coloring import Coloring, color
from fastbp.sparse.construction import csr, from_scipy
from fastbp.sparse.jacobians import Prepared, hessian, jacobian, prepare
from fastbp.sparse.matrix import SparseMatrix
from fastbp.sparse.patterns import sparsity
from fastbp.sparse.solving import Factorized, factorized, solve

__all__ = [
    "Coloring",
    "Factorized",
    "Prepared",
    "SparseMatrix",
    "color",
    "csr",
    "factorized",
    "for_least_squares",
    "for_minimize",
    "for_root",
    "for_solve_ivp",
    "from_scipy",
    "hessian",
    "jacobian",
    "prepare",
    "solve",
    "sparsity",
]
