"""
A character model of a book
===========================

A character model of Alice in Wonderland: an LSTM trained on windows of the text, and its chain.

The chain is that of the Jacobians of each state with respect to the one before, along text that the
model has not seen. Its norms say how far back a gradient reaches, its Lyapunov exponents whether
two states that read the same text forget their difference.
"""

import sys
import time

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp
from fastbp.benchmarks import characters
from fastbp.benchmarks.adam import Adam

UNITS, BATCH, STEPS, EPOCHS = 128, 8, 50, 10


def loss(p, state, x, t):
    """Mean cross-entropy of the next characters in nats, and the state behind the last."""
    hs, state = bp.recurrent.lstm(x, state, W=p["W"], U=p["U"], b=p["b"])
    scores = bnp.log_softmax(hs @ p["V"] + p["c"], axis=-1)
    return -(scores * t).sum() / t[..., 0].size, state


def train(text, one_hot):
    """Truncated backpropagation through time: the state goes on, the gradient ends at a window."""
    p = characters.init(len(text.alphabet), UNITS)
    p = {name: value.astype(one_hot.dtype) for name, value in p.items()}
    gradient, adam = bp.value_and_grad(loss, has_aux=True), Adam(p)
    start = time.perf_counter()
    for epoch in range(EPOCHS):
        state, values = zeros(BATCH), []
        for x, t in text.windows(STEPS, BATCH):
            (value, state), slopes = gradient(p, state, one_hot[x], one_hot[t])
            adam.step(p, slopes, rate=5e-3 * (1 - epoch / EPOCHS))
            values.append(value)
        bits, seconds = np.mean(values) / np.log(2), time.perf_counter() - start
        print(f"  epoch {epoch + 1:2d}  {bits:.3f} bits per character  {seconds:5.2f} s")
    return p


def zeros(*batch):
    """Return h and c before the first character."""
    return tuple(np.zeros((2, *batch, UNITS), np.float32))


def sample(p, text, one_hot, prompt, count):
    """Read the prompt, then draw one character after the other."""
    rng, state = np.random.default_rng(0), zeros()
    codes = [text.alphabet.index(c) for c in prompt]
    unread = list(codes)
    for _ in range(count):
        hs, state = bp.recurrent.lstm(one_hot[unread], state, W=p["W"], U=p["U"], b=p["b"])
        scores = hs[-1] @ p["V"] + p["c"]
        chances = np.exp((scores - scores.max()) / 0.7)
        unread = [rng.choice(len(chances), p=chances / chances.sum())]
        codes += unread
    return text.write(codes)


def main():
    text = characters.load()
    one_hot = np.eye(len(text.alphabet), dtype=np.float32)
    print(f"{len(text.train)} characters, {len(text.alphabet)} different ones")
    p = train(text, one_hot)

    # Held out: the end of chapter IV, read on from the state that the text before leaves.
    cell = {name: p[name] for name in ("W", "U", "b")}
    _, state = bp.recurrent.lstm(one_hot[text.train], zeros(), **cell)
    bits = loss(p, state, one_hot[text.test[:-1]], one_hot[text.test[1:]])[0] / np.log(2)
    single, pairs, triples = text.counted_bits()
    print(f"held out: {bits:.3f} bits per character; by counts of single characters {single:.3f},")
    print(f"  of pairs {pairs:.3f}, of triples {triples:.3f}")
    assert bits < min(pairs, triples)
    print(sample(p, text, one_hot, "  `Oh dear!' said ", 300))

    chain = bp.recurrent.trajectory_jacobians(
        bp.recurrent.lstm, state, one_hot[text.test[:200]], **cell
    )
    norms = chain.norms(2)
    print(f"\n{chain}: Lyapunov exponents per character {chain.spectrum(4).round(3)}")
    print("characters passed    log10 of the spectral norm of d(state)/d(first state)")
    for t in (1, 2, 5, 10, 20, 50, 100, 200):
        print(f"{t:17d} {norms.cumulative[t - 1] / np.log(10):12.2f}")
    return norms


def draw(norms):
    """Draw how far back a gradient reaches."""
    return norms.plot().figure


if __name__ == "__main__":
    norms = main()
    if sys.argv[1:]:  # a file for the picture
        draw(norms).savefig(sys.argv[1])
