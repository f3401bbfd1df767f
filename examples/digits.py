"""
A network that reads digits
===========================

Digits of 8 x 8 pixels, told apart by a network with one hidden layer.

The digits are drawn here: figures of 5 x 7 dots, as of a display, at a random place, of random
strength, under noise. Gradient and update of a training step are one plan, which writes into the
parameters.
"""

import sys
import time

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp

FIGURES = """
.###. ..#.. .###. .###. ...#. ##### .###. ##### .###. .###.
#...# .##.. #...# #...# ..##. #.... #.... ....# #...# #...#
#..## ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#
#.#.# ..#.. ..##. ..##. #..#. ....# ####. ..#.. .###. .####
##..# ..#.. .#... ....# ##### ....# #...# ..#.. #...# ....#
#...# ..#.. #.... #...# ...#. #...# #...# ..#.. #...# ....#
.###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .###.
"""
ROWS = [line.split() for line in FIGURES.split("\n") if line]
DOTS = np.array([[[c == "#" for c in row[k]] for row in ROWS] for k in range(10)], np.float32)
HIDDEN, BATCH, STEPS = 64, 64, 3000


def sample(rng, count):
    """Return pictures of shape (count, 64), and which digits they are."""
    which = rng.integers(10, size=count)
    pictures = np.zeros((count, 8, 8), np.float32)
    for picture, digit in zip(pictures, which, strict=True):
        i, j = rng.integers(2), rng.integers(4)
        picture[i : i + 7, j : j + 5] = rng.uniform(0.6, 1.0) * DOTS[digit]
    pictures += 0.3 * rng.standard_normal(pictures.shape, np.float32)
    return pictures.reshape(count, 64), which


def scores(p, x):
    return bnp.relu(x @ p["U"] + p["a"]) @ p["V"] + p["b"]


def loss(p, x, t):
    """Mean cross-entropy; t has a 1 for the digit."""
    return -np.sum(bnp.log_softmax(scores(p, x), axis=-1) * t) / t.shape[0]


def main():
    rng = np.random.default_rng(0)
    p = {
        "U": (rng.standard_normal((64, HIDDEN)) / 8).astype(np.float32),
        "a": np.zeros(HIDDEN, np.float32),
        "V": (rng.standard_normal((HIDDEN, 10)) / 7).astype(np.float32),
        "b": np.zeros(10, np.float32),
    }
    optimizer, gradient = bp.optim.Adam(3e-3), bp.value_and_grad(loss)

    def step(p, state, x, t):
        value, slopes = gradient(p, x, t)
        return *optimizer.update(slopes, state, p), value

    state, value = optimizer.init(p), np.zeros((), np.float32)
    x, t = np.zeros((BATCH, 64), np.float32), np.zeros((BATCH, 10), np.float32)
    run = bp.compile(step).bind(p, state, x, t, out=(p, state, value))
    pictures, digits = sample(rng, 20000)
    start = time.perf_counter()
    for k in range(STEPS):
        chosen = rng.integers(len(digits), size=BATCH)
        x[:], t[:] = pictures[chosen], np.eye(10)[digits[chosen]]
        run()
        if (k + 1) % 1000 == 0:
            seconds = time.perf_counter() - start
            print(f"step {k + 1:5d}  loss {value:.3f}  {seconds:.2f} s")
    unseen, right = sample(rng, 2000)
    told = np.argmax(scores(p, unseen), axis=1)
    share = np.mean(told == right)
    print(f"{100 * share:.1f} % of 2000 other pictures are told right")
    assert share > 0.9
    return unseen, told, right


def draw(pictures, told, right):
    """Draw pictures with what the network says they are, the first wrong ones at the bottom."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(4, 8, figsize=(8.0, 4.6), layout="constrained")
    chosen = np.r_[np.flatnonzero(told == right)[:24], np.flatnonzero(told != right)[:8]]
    for ax, k in zip(axes.flat, chosen, strict=False):
        ax.imshow(pictures[k].reshape(8, 8), cmap="gray_r")
        ax.set_title(f"{told[k]}" if told[k] == right[k] else f"{told[k]}, is {right[k]}",
                     fontsize=9, color="black" if told[k] == right[k] else "tab:red")  # fmt: skip
    for ax in axes.flat:
        ax.axis("off")
    return figure


if __name__ == "__main__":
    found = main()
    if sys.argv[1:]:  # a file for the picture
        draw(*found).savefig(sys.argv[1])
