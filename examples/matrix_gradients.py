"""
The gradient of a matrix product
================================

The gradient of a scalar through C = A B needs no 4-D tensor: two matrix products do it.
"""

import sys

import numpy as np

import fastbp as bp


def main():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
    g = rng.standard_normal((3, 2))  # dL/dC, from the layers above

    # The rule itself, on arrays.
    a_bar, b_bar = bp.matmul_vjp(g, a, b)
    assert np.allclose(a_bar, g @ b.T)
    assert np.allclose(b_bar, a.T @ g)

    # The same through the graph.
    x, y = bp.variable(a), bp.variable(b)
    for found, expected in zip(bp.gradients(x @ y, [x, y], g), (a_bar, b_bar), strict=True):
        assert np.allclose(found, expected)

    # The explicit derivative dC/dA: 72 numbers, of which 24 are not zero. Contracted with dL/dC it
    # gives the same gradient.
    tensor = bp.jacobian(lambda a: a @ b)(a)
    print("dC/dA has shape", tensor.shape, "and", np.count_nonzero(tensor), "nonzeros")
    assert np.allclose(np.tensordot(g, tensor, axes=2), a_bar)
    print("dL/dA =")
    print(a_bar)
    return a, b


def draw(a, b):
    """Draw dC/dA: for each element of C a matrix as large as A, with one row that is not zero."""
    return bp.tensor.matmul_derivative(a, b, wrt=0).plot().figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
