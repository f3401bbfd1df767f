"""The record as data, for analyses written in Python."""

from fastbp._core.graph cimport Node, Op, Variable

cdef class Link:
    cdef readonly Op op
    cdef readonly Variable variable
    cdef readonly tuple parents, operands, shape
    cdef readonly object ans, dtype, output
    cdef readonly dict static

# A handle on a node; the link of a node whose operands are at these positions. One that is not
# `applied` is a leaf of the tape.
cdef Variable variable_of(Node node)
cdef Link link_of(Node node, tuple parents, bint applied)
