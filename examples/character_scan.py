"""
An LSTM written by hand
=======================

An LSTM written by hand in a `scan`, compiled: it learns to close brackets.

The text is generated: brackets of three kinds, nested at most four deep. What closes is fixed by
what is open, so a model that remembers gets below the entropy that counts of single characters
have. A whole training step is one plan, with one loop forward and one back, however long the text.
"""

import sys

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp

OPEN, CLOSE = "([{", ")]}"
ALPHABET = OPEN + CLOSE
UNITS, BATCH, LENGTH, STEPS = 24, 16, 32, 500


def text(rng, count):
    """Return one-hot characters of shape (count + 1, BATCH, 6)."""
    codes = np.empty((count + 1, BATCH), int)
    for column in codes.T:
        stack = []
        for t in range(count + 1):
            if stack and (len(stack) == 4 or rng.random() < 0.5):
                column[t] = 3 + stack.pop()
            else:
                stack.append(rng.integers(3))
                column[t] = stack[-1]
    return np.eye(6)[codes]


def cell(p, state, x):
    h, c = state
    z = h @ p["W"] + x @ p["U"] + p["b"]
    i, f, g, o = (z[:, k * UNITS : (k + 1) * UNITS] for k in range(4))
    c = bnp.sigmoid(f) * c + bnp.sigmoid(i) * np.tanh(g)
    h = bnp.sigmoid(o) * np.tanh(c)
    return (h, c), h


def loss(p, chars):
    """Mean cross-entropy of the next characters, in bits."""
    zeros = np.zeros((BATCH, UNITS))
    _, hs = bp.scan(lambda state, x: cell(p, state, x), (zeros, zeros), chars[:-1])
    shares = bnp.log_softmax(hs @ p["V"] + p["c"], axis=-1)
    return -np.sum(shares * chars[1:]) / (chars.shape[0] - 1) / BATCH / np.log(2.0)


def main():
    rng = np.random.default_rng(0)
    sizes = {"W": (UNITS, 4 * UNITS), "U": (6, 4 * UNITS), "b": (4 * UNITS,), "V": (UNITS, 6)}
    p = {name: 0.3 * rng.standard_normal(size) for name, size in sizes.items()}
    p["c"] = np.zeros(6)
    optimizer, gradient = bp.optim.Adam(0.01), bp.value_and_grad(loss)

    def step(p, state, chars):
        value, slopes = gradient(p, chars)
        return *optimizer.update(slopes, state, p), value

    compiled, state, values = bp.compile(step), optimizer.init(p), []
    for k in range(STEPS):
        p, state, bits = compiled(p, state, text(rng, LENGTH))
        values.append(float(bits))
        if (k + 1) % 100 == 0:
            print(f"step {k + 1:4d}  {bits:.3f} bits per character")
    print(compiled.explain().splitlines()[0], compiled.stats()["recorded"])
    chars = text(rng, LENGTH)
    shares = chars.mean(axis=(0, 1))
    single = -np.sum(shares * np.log2(shares))
    bits = loss(p, chars)
    print(f"other text: {bits:.3f} bits; by counts of single characters {single:.3f}")
    assert bits < 0.75 * single
    return values, single


def draw(values, single):
    """Draw the loss over the steps."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    ax.plot(values, label="LSTM")
    ax.axhline(single, color="gray", linestyle="--", label="counts of single characters")
    ax.set(xlabel="step", ylabel="bits per character", title="An LSTM learns to close brackets")
    ax.legend()
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
