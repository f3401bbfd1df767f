"""The rows of NumPy's own functions, by family."""
