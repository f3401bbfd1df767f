"""The data that come with the package, and the classifier trained on them."""

import numpy as np
import pytest

from fastbp.benchmarks import adam, digits
from fastbp.benchmarks.checking import CheckError, check_projection


def test_data_are_those_of_the_repository():
    data = digits.load()
    assert data.images.shape == (1797, 64)
    assert data.images.dtype == data.labels.dtype == np.uint8
    assert (data.images.min(), data.images.max()) == (0, 16)
    assert int(data.images.sum()) == 561718
    assert np.bincount(data.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_split_holds_out_a_fifth_of_every_class():
    split = digits.load().split(seed=3)
    assert len(split.train_x) + len(split.test_x) == 1797
    counts = split.test_t.sum(axis=0)
    assert np.all(np.abs(counts - 0.2 * (counts + split.train_t.sum(axis=0))) <= 1)
    assert split.train_x.max() == 1.0
    # Shuffled: the first images are not of one class.
    assert len(set(split.test_t[:20].argmax(axis=1))) > 3


def test_the_split_is_the_same_for_the_same_seed():
    one, two, other = (digits.load().split(seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.test_x, two.test_x)
    assert not np.array_equal(one.test_x, other.test_x)


def test_the_reference_gradient_agrees_with_differences():
    data, params = digits.load().split(seed=1), digits.init(seed=1)
    x, t = data.train_x[:16], data.train_t[:16]
    gradient = digits.by_hand(params, x, t)[1]
    check_projection(
        lambda *leaves: digits.by_hand(dict(zip(params, leaves, strict=True)), x, t)[0],
        list(params.values()),
        list(gradient.values()),
    )


def test_adam_follows_its_definition():
    params = {"p": np.array([1.0, -2.0])}
    adam.Adam(params).step(params, {"p": np.array([0.5, -4.0])}, rate=0.1)
    # The first step has the size of the rate, whatever the gradient.
    np.testing.assert_allclose(params["p"], [0.9, -1.9], rtol=1e-6)


def test_training_reaches_the_accuracy():
    epochs = []
    result = digits.train(epochs.append)
    assert result["test_accuracy"] > 0.96
    assert epochs == result["epochs"]
    assert epochs[-1]["loss"] < epochs[0]["loss"] / 5


def test_too_low_an_accuracy_fails():
    with pytest.raises(CheckError, match="test accuracy"):
        digits.train(lambda epoch: None, epochs=1, batch=1437)
