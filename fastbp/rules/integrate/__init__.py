"""Rows of `scipy.integrate`, imported late: SciPy takes its time."""
