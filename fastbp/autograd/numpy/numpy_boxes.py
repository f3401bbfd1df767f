"""``autograd.numpy.numpy_boxes``: the class of recorded arrays."""

from fastbp.autograd.boxes import ArrayBox, Box, SequenceBox

__all__ = ["ArrayBox", "Box", "SequenceBox"]
