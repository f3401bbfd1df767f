"""`scipy.linalg`, for programs that were written for ``autograd.scipy.linalg``."""

import scipy.linalg as _plain

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _plain, "scipy.linalg")
