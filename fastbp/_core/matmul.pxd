# Matrix products and their cotangents for every operand shape of np.matmul: the C interface of
# fastbp._core.matmul.
#
# Operands are arrays of one dtype, float32, float64, complex64 or complex128 (the caller promotes);
# any strides, byte order and alignment. Nothing is conjugated. Wrong shapes raise ShapeError, wrong
# dtypes DTypeError, before a pointer is used.
cimport numpy as cnp

# a @ b in a new C-ordered array (0-d for vector @ vector).
cdef object c_matmul(cnp.ndarray a, cnp.ndarray b)

# The cotangent of a (of b) in `a @ b`, given the cotangent g of the product, summed over broadcast
# axes to a_shape (b_shape). With lead = 1, g carries a block of K cotangents in one more leading
# axis, and so does the result. `into` is None, or a C-contiguous writable array of the result's
# shape and dtype, which must not overlap the operands: the cotangent is then added to it, and it is
# returned.
cdef object c_matmul_vjp_a(cnp.ndarray g, cnp.ndarray b, tuple a_shape, int lead, object into)
cdef object c_matmul_vjp_b(cnp.ndarray g, cnp.ndarray a, tuple b_shape, int lead, object into)
