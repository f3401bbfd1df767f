from typing import Any

from fastbp.scipy import fft as fft
from fastbp.scipy import integrate as integrate
from fastbp.scipy import interpolate as interpolate
from fastbp.scipy import linalg as linalg
from fastbp.scipy import ndimage as ndimage
from fastbp.scipy import signal as signal
from fastbp.scipy import special as special
from fastbp.scipy import stats as stats

def __getattr__(name: str) -> Any: ...
