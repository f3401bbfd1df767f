"""``autograd.numpy.numpy_vspaces``: the vector spaces of arrays."""

from fastbp.autograd.vspaces import ArrayVSpace, ComplexArrayVSpace, NamedTupleVSpace, VSpace

__all__ = ["ArrayVSpace", "ComplexArrayVSpace", "NamedTupleVSpace", "VSpace"]
