"""Rows of NumPy's and SciPy's discrete Fourier, cosine and sine transforms."""
