"""`scipy.integrate`, for programs that were written for ``autograd.scipy.integrate``."""

import scipy.integrate as _plain

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _plain, "scipy.integrate")
