"""NumPy for programs that were written for ``autograd.numpy``.

Its functions are those of `fastbp.numpy`: what has a rule is differentiated, everything else is
NumPy's own and refuses recorded values.

Examples
--------
>>> import fastbp.autograd.numpy as np
>>> from fastbp.autograd import grad
>>> grad(lambda x: np.sum(np.tanh(x) ** 2))(np.zeros(2))
array([0., 0.])
"""

import numpy as _np

from fastbp.autograd import builtins  # noqa: F401
from fastbp.autograd.mirrors import fill as _fill
from fastbp.autograd.numpy import (  # noqa: F401
    fft,
    linalg,
    numpy_boxes,
    numpy_jvps,
    numpy_vjps,
    numpy_vspaces,
    numpy_wrapper,
    random,
)

_fill(globals(), _np, "numpy")
globals().update({_name: getattr(numpy_wrapper, _name) for _name in numpy_wrapper.__all__})

__version__ = _np.__version__
