"""Which zeros of a (co)tangent are exact."""

from fastbp._core.graph cimport Node

# Numbers that are zero just where what a rule returns for a (co)tangent is an exact zero.
cdef list probed_vjp(Node node, tuple needs, object g, int lead)
# A probe summed like the cotangent of an operand of `shape`.
cdef object probe_to(object probe, int lead, tuple shape)
cdef object probed_jvp(Node node, list tangents, int lead)
