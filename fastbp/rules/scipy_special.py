"""Elementwise operations that are ufuncs of `scipy.special`.

Not imported with fastbp: `scipy.special` costs more than all the rest. `fastbp.scipy.special`
imports it, and the core does when it meets a ufunc that it does not know (``late_rules``).
"""

import math

import numpy as np
from scipy import special

from fastbp._core import graph
from fastbp.rules.special import log_sigmoid, sigmoid
from fastbp.rules.table import elementwise

UNIT = (0.1, 0.9)
POSITIVE = (0.3, 3.0)
ROOT_PI, ROOT_TWO_PI = math.sqrt(math.pi), math.sqrt(2.0 * math.pi)

# ---- logistic functions

graph.bind_ufunc(special.expit, sigmoid)
graph.bind_ufunc(special.log_expit, log_sigmoid)
logit = elementwise("logit", special.logit, lambda z, x: 1.0 / (x * (1.0 - x)), domain=UNIT)

# ---- x log y and entropies: the value is 0 at x = 0

xlogy = elementwise(
    "xlogy",
    special.xlogy,
    lambda z, x, y: np.log(y),
    lambda z, x, y: x / np.where((x == 0.0) & (y == 0.0), 1.0, y),
    domain=(POSITIVE, POSITIVE),
    kinks="0 by y at (0, 0)",
)
xlog1py = elementwise(
    "xlog1py",
    special.xlog1py,
    lambda z, x, y: np.log1p(y),
    lambda z, x, y: x / np.where((x == 0.0) & (y == -1.0), 1.0, 1.0 + y),
    domain=(POSITIVE, POSITIVE),
    kinks="0 by y at (0, -1)",
)
entr = elementwise("entr", special.entr, lambda z, x: -1.0 - np.log(x), domain=POSITIVE)
rel_entr = elementwise(
    "rel_entr",
    special.rel_entr,
    lambda z, x, y: 1.0 + np.log(x / y),
    lambda z, x, y: -x / y,
    domain=(POSITIVE, POSITIVE),
)
kl_div = elementwise(
    "kl_div",
    special.kl_div,
    lambda z, x, y: np.log(x / y),
    lambda z, x, y: 1.0 - x / y,
    domain=(POSITIVE, POSITIVE),
)

# ---- the error function and the normal distribution

erf = elementwise("erf", special.erf, lambda z, x: (2.0 / ROOT_PI) * np.exp(-x * x))
erfc = elementwise("erfc", special.erfc, lambda z, x: (-2.0 / ROOT_PI) * np.exp(-x * x))
erfcx = elementwise("erfcx", special.erfcx, lambda z, x: 2.0 * x * z - 2.0 / ROOT_PI)
erfinv = elementwise(
    "erfinv", special.erfinv, lambda z, x: (ROOT_PI / 2.0) * np.exp(z * z), domain=(-0.8, 0.8)
)
erfcinv = elementwise(
    "erfcinv", special.erfcinv, lambda z, x: (-ROOT_PI / 2.0) * np.exp(z * z), domain=(0.2, 1.8)
)
ndtr = elementwise("ndtr", special.ndtr, lambda z, x: np.exp(-0.5 * x * x) / ROOT_TWO_PI)
ndtri = elementwise(
    "ndtri", special.ndtri, lambda z, x: ROOT_TWO_PI * np.exp(0.5 * z * z), domain=UNIT
)
# exp(-x^2/2) / ndtr(x), whose factors both vanish far to the left, is 2 / erfcx(-x / sqrt 2).
log_ndtr = elementwise(
    "log_ndtr",
    special.log_ndtr,
    lambda z, x: math.sqrt(2.0 / math.pi) / special.erfcx(x * -math.sqrt(0.5)),
)
