"""Functions without a derivative: constant almost everywhere, or of the shape alone.

They see the values of Variables.
"""

import functools

import numpy as np

from fastbp._core import graph
from fastbp.rules.table import CONSTANTS, nondifferentiable

nondifferentiable(
    np.argmax,
    np.argmin,
    np.argpartition,
    np.argsort,
    np.argwhere,
    np.count_nonzero,
    np.digitize,
    np.flatnonzero,
    np.lexsort,
    np.nonzero,
    np.searchsorted,
    methods=("argmax", "argmin", "argpartition", "argsort", "nonzero", "searchsorted"),
    why="places, order, counts",
)
# Not here, as weights= has a derivative: numpy.histogram. numpy.bincount is in `accumulating`.

nondifferentiable(
    np.around,
    np.ceil,
    np.fix,
    np.floor,
    np.floor_divide,
    np.rint,
    np.round,
    np.sign,
    np.trunc,
    methods=("round",),
    why="steps: flat between the jumps",
)

nondifferentiable(
    np.all,
    np.allclose,
    np.any,
    np.array_equal,
    np.array_equiv,
    np.isclose,
    np.iscomplex,
    np.isfinite,
    np.isin,
    np.isinf,
    np.isnan,
    np.isneginf,
    np.isposinf,
    np.isreal,
    np.signbit,
    np.equal,
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.not_equal,
    np.logical_and,
    np.logical_not,
    np.logical_or,
    np.logical_xor,
    methods=("all", "any"),
    why="questions: True or False",
)

nondifferentiable(
    np.array2string,
    np.array_repr,
    np.array_str,
    why="shape, dtype, text",
)

nondifferentiable(
    np.can_cast,
    np.common_type,
    np.min_scalar_type,
    np.ndim,
    np.result_type,
    np.shape,
    np.size,
    reads=False,
    why="shape, dtype, text",
)

nondifferentiable(
    np.iscomplexobj,
    np.isrealobj,
    np.may_share_memory,
    np.shares_memory,
    reads=False,
    why="questions: True or False",
)

CONSTANTS["isscalar"] = CONSTANTS["iscomplexobj"]


@functools.wraps(np.isscalar)
def isscalar(element):
    """Say whether `element` is a number: a recorded one is, without axes."""
    if isinstance(element, graph.Variable) or graph.is_passive(element):
        return graph.array_of(element).ndim == 0
    return np.isscalar(element)


isscalar.__module__ = "fastbp.numpy"  # where it is found, so that it can be pickled
graph.bind_function(np.isscalar, isscalar)
graph.of_shapes(np.isscalar)

nondifferentiable(
    np.diag_indices_from,
    np.tril_indices_from,
    np.triu_indices_from,
    reads=False,
    why="places, order, counts",
)

nondifferentiable(
    np.angle,
    np.imag,
    why="of real numbers: the imaginary part is 0, the angle 0 or pi",
)
