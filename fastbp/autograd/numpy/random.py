"""`numpy.random`, for programs that were written for ``autograd.numpy.random``."""

import numpy as _np

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _np.random, "numpy.random")
