"""The rows of `numpy.linalg`."""
