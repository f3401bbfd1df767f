"""The rows of activation functions and of `scipy.special`."""
