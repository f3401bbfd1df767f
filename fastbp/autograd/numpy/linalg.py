"""`numpy.linalg`, for programs that were written for ``autograd.numpy.linalg``."""

import numpy as _np

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _np.linalg, "numpy.linalg")
