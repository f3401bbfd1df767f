"""Rows of `scipy.ndimage`, imported late: SciPy takes its time."""
