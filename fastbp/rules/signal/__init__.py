"""Rows of `scipy.signal`, imported late: SciPy takes its time."""
