"""Rows of `scipy.interpolate`, imported late: SciPy takes its time."""
