from numpy.polynomial import *  # noqa: F403
