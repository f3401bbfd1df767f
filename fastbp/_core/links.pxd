"""The record as data, for analyses written in Python."""

from fastbp._core.graph cimport Node, Op

cdef class Link:
    cdef readonly Op op
    cdef readonly tuple parents, operands, fixed, shape
    cdef readonly object ans, dtype, output
    cdef Node node          # of `variable`, if somebody asks for it
    cdef readonly dict static

# A handle on a node; the link of a node whose operands are at these positions. One that is not
# `applied` is a leaf of the tape.
cdef object variable_of(Node node)
cdef Link link_of(Node node, tuple parents, bint applied)
