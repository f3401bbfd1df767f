"""`scipy.special`, for programs that were written for ``autograd.scipy.special``."""

import scipy.special as _plain

from fastbp.autograd.mirrors import fill as _fill

_fill(globals(), _plain, "scipy.special")
