"""
Explicit derivative tensors
===========================

The derivative of a matrix by a matrix, four ways, on a dense layer of handwritten digits.

For C = X @ W the derivative dC/dW has an entry for every element of C and every element of W: four
axes, and almost only zeros. The gradient of a loss is its contraction with dL/dC. Here that is
done with every zero stored, with the nonzeros only, with the structure (a delta times X), and by
the direct rule X.T @ dL/dC, which needs no tensor.
"""

import sys
import time

import numpy as np

import fastbp as bp
from fastbp.benchmarks import digits


def timed(function, *args):
    """Return a result and the best of five times in microseconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        result = function(*args)
        times.append(time.perf_counter() - start)
    return result, 1e6 * min(times)


def loss(scores, labels):
    """Mean cross-entropy of the softmax against one-hot labels."""
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - np.sum(scores * labels, axis=1))


def main():
    data = digits.load().split(seed=1)
    images, labels = data.train_x[:48], data.train_t[:48]
    weights = np.random.default_rng(0).normal(size=(64, 10)) / 8
    scores = images @ weights
    g = bp.grad(loss)(scores, labels)

    direct, microseconds = timed(lambda: images.T @ g)
    shape = scores.shape + weights.shape
    print(f"C = X @ W: {images.shape} @ {weights.shape}, dC/dW has shape {shape}")
    print(f"{'direct rule X.T @ g':>22} {microseconds:9.1f} us {0:>12} bytes of tensor")
    for storage in ("structured", "sparse", "dense"):
        tensor = bp.tensor.matmul_derivative(images, weights, wrt=1, storage=storage)
        found, microseconds = timed(tensor.contract, g)
        assert np.allclose(found, direct, rtol=1e-12, atol=1e-15)
        print(
            f"{storage:>22} {microseconds:9.1f} us {tensor.nbytes:>12} bytes, {tensor.nnz} nonzeros"
        )

    print("\nEvery link of the loss as a tensor, and the rule used instead:")
    print(bp.tensor.explain(lambda w: loss(images @ w, labels), weights))
    return images, weights


def draw(images, weights):
    """Draw dC/dW of four images and the middle row of their pixels: a matrix of matrices."""
    tensor = bp.tensor.matmul_derivative(images[:4, 24:32], weights[24:32, :5], wrt=1)
    return tensor.plot(names=("C", "W")).figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
