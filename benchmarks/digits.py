"""The main job's real work: a dense classifier of handwritten digits, trained with Adam."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp

from .adam import Adam
from .checking import CheckError, check_projection, compare

__all__ = ["ACCURACY", "Digits", "by_hand", "init", "load", "loss", "train"]

CLASSES = 10
HIDDEN = 128
# The accuracy on the test images that the trained classifier must exceed.
ACCURACY = 0.95


@dataclass(frozen=True)
class Split:
    """Training and test images in [0, 1], shape (n, 64), and one-hot labels, shape (n, 10)."""

    train_x: np.ndarray
    train_t: np.ndarray
    test_x: np.ndarray
    test_t: np.ndarray


@dataclass(frozen=True)
class Digits:
    """Images of 8 x 8 pixels, uint8 in 0..16, shape (n, 64), and labels, uint8, shape (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def split(self, seed: int, held_out: float = 0.2) -> Split:
        """Shuffle and hold out the same share of every class for the test."""
        rng = np.random.default_rng(seed)
        test = np.zeros(len(self.labels), dtype=bool)
        for digit in range(CLASSES):
            members = rng.permutation(np.flatnonzero(self.labels == digit))
            test[members[: round(held_out * len(members))]] = True
        order = rng.permutation(len(self.labels))
        x, t = self.images[order] / 16.0, np.eye(CLASSES)[self.labels[order]]
        test = test[order]
        return Split(x[~test], t[~test], x[test], t[test])


@cache
def load() -> Digits:
    """Load the images that come with the package (``data/README.md`` says where they are from)."""
    source = resources.files(__package__) / "data" / "digits.npz"
    with source.open("rb") as stream, np.load(stream) as file:
        return Digits(file["images"], file["labels"])


def init(seed: int) -> dict[str, np.ndarray]:
    """Return random weights of a network of 64, 128 and 10 units."""
    rng = np.random.default_rng(seed)
    return {
        "W0": rng.standard_normal((64, HIDDEN)) / 8,
        "b0": np.zeros(HIDDEN),
        "W1": rng.standard_normal((HIDDEN, CLASSES)) / np.sqrt(HIDDEN),
        "b1": np.zeros(CLASSES),
    }


def logits(params, x):
    """Return the scores of the classes; plain arrays in, a plain array out."""
    return np.tanh(x @ params["W0"] + params["b0"]) @ params["W1"] + params["b1"]


def loss(params, x, t):
    """Mean cross-entropy of the softmax against one-hot labels."""
    return -(bnp.log_softmax(logits(params, x), axis=-1) * t).sum() / len(t)


def by_hand(params, x, t):
    """Value and gradient of `loss`, written without fastbp."""
    hidden = np.tanh(x @ params["W0"] + params["b0"])
    scores = hidden @ params["W1"] + params["b1"]
    scores = scores - scores.max(axis=1, keepdims=True)
    powers = np.exp(scores)
    total = powers.sum(axis=1, keepdims=True)
    value = -np.sum((scores - np.log(total)) * t) / len(t)
    g = (powers / total - t) / len(t)
    g_hidden = (g @ params["W1"].T) * (1 - hidden * hidden)
    gradient = {
        "W0": x.T @ g_hidden, "b0": g_hidden.sum(axis=0), "W1": hidden.T @ g, "b1": g.sum(axis=0),
    }  # fmt: skip
    return value, gradient


def check_gradient(params: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray) -> float:
    """Compare the gradient of `loss` with the hand-written one and with central differences."""
    value, gradient = bp.value_and_grad(loss)(params, x, t)
    check_projection(
        lambda *leaves: by_hand(dict(zip(params, leaves, strict=True)), x, t)[0],
        list(params.values()),
        [gradient[name] for name in params],
    )
    return compare([value, gradient], by_hand(params, x, t), 1e-11, "gradient of the classifier")


def train(
    report: Callable[[dict[str, Any]], None], epochs: int = 12, batch: int = 32
) -> dict[str, Any]:
    """Train the classifier; `report` is given epoch, loss and accuracy after each epoch.

    Raises
    ------
    CheckError
        If the gradient is wrong at the start or the end, or the accuracy is not above `ACCURACY`.
    """
    data, params = load().split(seed=1), init(seed=1)
    error = check_gradient(params, data.train_x[:batch], data.train_t[:batch])
    gradient, adam = bp.value_and_grad(loss), Adam(params)
    rng = np.random.default_rng(1)
    history, start = [], time.perf_counter()
    for epoch in range(1, epochs + 1):
        total = 0.0
        order = rng.permutation(len(data.train_x))
        for i in range(0, len(order), batch):
            rows = order[i : i + batch]
            value, slopes = gradient(params, data.train_x[rows], data.train_t[rows])
            adam.step(params, slopes, rate=6e-3 * (1 - (epoch - 1) / epochs))
            total += float(value) * len(rows)
        reached = accuracy(params, data.test_x, data.test_t)
        history.append({"epoch": epoch, "loss": total / len(order), "accuracy": reached})
        report(history[-1])
    seconds = time.perf_counter() - start
    error = max(error, check_gradient(params, data.train_x[:batch], data.train_t[:batch]))
    if not reached > ACCURACY:
        raise CheckError(f"test accuracy {reached:.1%} is not above {ACCURACY:.0%}")
    return {
        "epochs": history, "test_accuracy": reached, "train_images": len(data.train_x),
        "test_images": len(data.test_x), "seconds": seconds, "gradient_error": error,
    }  # fmt: skip


def accuracy(params: dict[str, np.ndarray], x: np.ndarray, t: np.ndarray) -> float:
    """Return the share of images whose label has the highest score."""
    return float(np.mean(logits(params, x).argmax(axis=1) == t.argmax(axis=1)))
