"""The book that comes with the package, and the character model of it."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.benchmarks import adam, characters


def test_the_text_is_the_beginning_of_the_book():
    text = characters.load()
    codes = np.concatenate([text.train, text.test])
    assert len(codes) == 47416
    assert len(text.alphabet) == 69
    written = text.write(codes)
    assert written.lstrip().startswith("ALICE'S ADVENTURES IN WONDERLAND\n")
    assert written.endswith("the smallest notice\nof her or of anything else.\n")
    assert [written.count(f"CHAPTER {n}\n") for n in ("I", "II", "III", "IV", "V")] == [1] * 4 + [0]


def test_windows_follow_each_other():
    text = characters.load()
    windows = list(text.windows(steps=50, batch=8))
    assert {(x.shape, t.shape) for x, t in windows} == {((50, 8), (50, 8))}
    x, t = (np.concatenate(parts) for parts in zip(*windows, strict=True))
    np.testing.assert_array_equal(t[:-1], x[1:])
    length = (len(text.train) - 1) // 8
    np.testing.assert_array_equal(x[:, 3], text.train[3 * length :][: len(x)])


def test_bits_by_counts():
    # All four pairs of two characters are equally likely, so nothing can be predicted ...
    flat = characters.Text("ab", np.tile([0, 0, 1, 1], 500), np.tile([0, 0, 1, 1], 50))
    single, pairs, triples = flat.counted_bits()
    np.testing.assert_allclose([single, pairs], 1, atol=1e-2)
    # ... but from the two characters before.
    assert triples < 0.01
    bits = characters.load().counted_bits()
    np.testing.assert_allclose(bits, [4.413, 3.487, 2.768], atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_loss_falls(dtype):
    text = characters.load()
    one_hot = np.eye(len(text.alphabet), dtype=dtype)
    p = {k: v.astype(dtype) for k, v in characters.init(len(text.alphabet), 32).items()}
    optimizer, gradient, values = adam.Adam(p), bp.value_and_grad(characters.loss), []
    for (x, t), _ in zip(text.windows(steps=25, batch=16), range(60), strict=False):
        value, slopes = gradient(p, one_hot[x], one_hot[t])
        optimizer.step(p, slopes, rate=1e-2)
        values.append(value)
    assert {x.dtype for x in (*p.values(), *slopes.values())} == {np.dtype(dtype)}
    assert np.mean(values[-5:]) < 0.75 * np.mean(values[:5])
