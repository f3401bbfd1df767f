"""A character model of a book: the text, what counting makes of it, and a step of training an LSTM.

``examples/character_model.py`` trains the same model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.recurrent import loops

from .recurrent import Model
from .registry import bench, faster

__all__ = ["Text", "init", "load"]

CELL = ("W", "U", "b")


@dataclass(frozen=True)
class Text:
    """A text as positions in its alphabet: what is learned from, and what is held out behind it."""

    alphabet: str
    train: np.ndarray
    test: np.ndarray

    def windows(self, steps: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cut the text into `batch` stretches and yield `steps` of each at a time.

        Each pair is of shape (steps, batch): the characters, and those that follow them. Column j
        of a window goes on where column j of the window before ended.
        """
        length = (len(self.train) - 1) // batch
        here = self.train[: length * batch].reshape(batch, length).T
        following = self.train[1 : length * batch + 1].reshape(batch, length).T
        for t in range(0, length - steps + 1, steps):
            yield here[t : t + steps], following[t : t + steps]

    def counted_bits(self) -> tuple[float, float, float]:
        """Bits per character held out, by the counts of single characters, of pairs, of triples.

        The shorter context counts as one observation more of the longer one: D. MacKay, L. Peto, "A
        hierarchical Dirichlet language model", 1995, with a weight of 1.
        """
        size = len(self.alphabet)
        found, shorter = [], np.full(size, 1 / size)
        for order in range(3):
            counts = np.zeros((size,) * (order + 1))
            np.add.at(counts, _context(self.train, order), 1)
            counts += shorter
            shorter = counts / counts.sum(axis=-1, keepdims=True)
            found.append(float(-np.mean(np.log2(shorter[_context(self.test, order)]))))
        return found[0], found[1], found[2]

    def write(self, codes: np.ndarray) -> str:
        """Return the characters at these positions of the alphabet."""
        return "".join(self.alphabet[i] for i in codes)


def _context(codes: np.ndarray, order: int) -> tuple[np.ndarray, ...]:
    """Return every character behind `order` characters before it, as an index of counts."""
    return tuple(codes[k : len(codes) - order + k] for k in range(order + 1))


@cache
def load(held_out: float = 0.1) -> Text:
    """Load the text that comes with the package (``data/README.md`` says where it is from)."""
    text = (resources.files(__package__) / "data" / "alice.txt").read_text(encoding="ascii")
    alphabet = "".join(sorted(set(text)))
    codes = np.array([alphabet.index(character) for character in text])
    cut = round(len(codes) * (1 - held_out))
    return Text(alphabet, codes[:cut], codes[cut:])


def init(size: int, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return random weights of an LSTM of n units between one-hot characters and their scores."""
    rng = np.random.default_rng(seed)
    params = {
        "W": rng.standard_normal((n, 4 * n)) / np.sqrt(n),
        "U": rng.standard_normal((size, 4 * n)) / 2,
        "b": np.zeros(4 * n),
        "V": rng.standard_normal((n, size)) / np.sqrt(n),
        "c": np.zeros(size),
    }
    params["b"][n : 2 * n] = 1.0  # the gate f begins open: what is in the cell stays there
    return params


def loss(params, x, t, by_loop=False):
    """Mean cross-entropy of the next character in nats, from a state of zeros."""
    cell = {name: params[name] for name in CELL}
    zeros = np.zeros((x.shape[1], len(params["W"])))
    if by_loop:
        hs, _ = loops.run("lstm", {"xs": x, "h0": zeros, "c0": zeros, **cell})
    else:
        hs, _ = bp.recurrent.lstm(x, (zeros, zeros), **cell)
    scores = bnp.log_softmax(hs @ params["V"] + params["c"], axis=-1)
    return -(scores * t).sum() / t[..., 0].size


def torch_step(inputs, **_):
    import torch

    p = {name: torch.tensor(value) for name, value in inputs.items()}
    n, size = p["V"].shape
    cell, layer = torch.nn.LSTM(size, n).double(), torch.nn.Linear(n, size).double()
    leaves = {
        "W": cell.weight_hh_l0, "U": cell.weight_ih_l0, "b": cell.bias_ih_l0,
        "V": layer.weight, "c": layer.bias,
    }  # fmt: skip
    with torch.no_grad():
        cell.bias_hh_l0.zero_()
        for name, leaf in leaves.items():
            leaf.copy_(p[name].T if name in "WUV" else p[name])
    t = p["t"].argmax(-1).reshape(-1)

    def run():
        scores = layer(cell(p["x"])[0])
        value = torch.nn.functional.cross_entropy(scores.reshape(-1, size), t)
        found = torch.autograd.grad(value, list(leaves.values()))
        return value, {k: g.T if k in "WUV" else g for k, g in zip(leaves, found, strict=True)}

    return run


def jax_step(inputs, **_):
    import jax
    from jax import lax, nn
    from jax import numpy as jnp

    data = {name: jax.device_put(value) for name, value in inputs.items()}
    x, t = data.pop("x"), data.pop("t")

    def value(p, x, t):
        def step(state, row):
            i, f, g, o = jnp.split(state[0] @ p["W"] + row, 4, axis=-1)
            c = nn.sigmoid(f) * state[1] + nn.sigmoid(i) * jnp.tanh(g)
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], len(p["W"])))
        hs = lax.scan(step, (zeros, zeros), x @ p["U"] + p["b"])[1]
        return -(nn.log_softmax(hs @ p["V"] + p["c"]) * t).sum(-1).mean()

    gradient = jax.jit(jax.value_and_grad(value))
    return lambda: jax.block_until_ready(gradient(data, x, t))


@bench("recurrent")
class CharacterGradient(Model):
    """Value and gradient of a character model: LSTM, softmax, cross-entropy, 50 steps of a book."""

    loss = staticmethod(loss)
    params = {"n": (128,), "batch": (8, 32)}
    quick = {"n": (32,), "batch": (8,)}
    peers = {"torch": torch_step, "jax": jax_step}

    def setup(self, n, batch):
        text = load()
        one_hot = np.eye(len(text.alphabet))
        x, t = (one_hot[codes] for codes in next(text.windows(50, batch)))
        self.prepare(init(len(text.alphabet), n), x, t)

    @classmethod
    def targets(cls, n, batch):
        return {"torch": faster(1), "jax": faster(1)}
