"""Rows of `scipy.stats`: distributions by formulas, and statistics of samples."""
