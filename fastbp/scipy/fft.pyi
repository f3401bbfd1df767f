from scipy.fft import *  # noqa: F403
