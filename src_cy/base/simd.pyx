"""Which instruction set the kernels use: decided here, once, for all of them.

It is the best one that the processor has and ``FASTBP_SIMD`` in the environment allows. Kernels are
compiled for each; a module that holds some asks `at_most` when it is imported.
"""

import os

from fastbp.errors import SettingError

cdef extern from "simd_level.h":
    int simd_best()

LEVELS = ("baseline", "avx2", "avx512")


cdef int _limit() except -1:
    """The best level that the environment allows."""
    name = os.environ.get("FASTBP_SIMD", "")
    if name and name not in LEVELS:
        raise SettingError(
            f"FASTBP_SIMD in the environment is {name!r}: it has to be one of "
            f"{', '.join(map(repr, LEVELS))}, the best instruction set that fastbp may use"
        )
    return LEVELS.index(name) if name else len(LEVELS) - 1


cdef int _level = min(simd_best(), _limit())


def level():
    """Return the name of the instruction set in use.

    Returns
    -------
    str
        ``"baseline"`` (what the compiler takes for granted), ``"avx2"`` (with FMA) or ``"avx512"``
        (F, DQ, BW and VL).

    Examples
    --------
    >>> from fastbp._core import simd
    >>> simd.level() in simd.LEVELS
    True
    """
    return LEVELS[_level]


def at_most(int limit):
    """Return the position in `LEVELS` of the instruction set in use, but not more than `limit`."""
    return min(limit, _level)
