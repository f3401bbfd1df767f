"""`numpy.fft`, for programs that were written for ``autograd.numpy.fft``."""

import numpy as _np

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _np.fft, "numpy.fft")
