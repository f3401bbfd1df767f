"""Sparsity patterns of the cells against the nonzeros of dense Jacobians."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbp as bp
from fastbp.sparse import sparsity

from ..sparse.test_patterns import nonzeros, patterns

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def operands(cell, steps, batch, m, n, seed=0):
    """Return operands by name; `batch` 0: none."""
    rng = np.random.default_rng(seed)
    own, width = (batch,) if batch else (), GATES[cell] * n
    p = {"xs": rng.normal(size=(steps, *own, m)), "h0": rng.normal(size=(*own, n))}
    if cell == "lstm":
        p["c0"] = rng.normal(size=(*own, n))
    p |= {"W": rng.normal(size=(n, width)), "U": rng.normal(size=(m, width))}
    p["b"] = rng.normal(size=width)
    if cell == "gru":
        p["c"] = rng.normal(size=n)
    return p


def outputs(cell, p, **options):
    """Return the states and the last ones."""
    p = dict(p)
    state = (p.pop("h0"), p.pop("c0")) if cell == "lstm" else p.pop("h0")
    return getattr(bp.recurrent, cell)(p.pop("xs"), state, **p, **options)


def check(cell, p, names, **options):
    """Compare the pattern by the named operands, the others constants, with the Jacobian."""

    def f(*arrays):
        return outputs(cell, {**p, **dict(zip(names, arrays, strict=True))}, **options)

    arrays = [p[name] for name in names]
    assert (patterns(f, arrays) == nonzeros(f, arrays)).all()


@given(
    st.sampled_from(sorted(GATES)),
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 2), st.integers(1, 3)),
    st.sampled_from(["one", "members", None]),
    st.booleans(),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, 1, "binomial"]),
    st.integers(0, 10),
    st.data(),
)
def test_patterns_are_the_nonzeros(cell, sizes, masked, reverse, truncate, checkpoint, seed, data):
    p = operands(cell, *sizes, seed=seed)
    names = data.draw(st.lists(st.sampled_from(sorted(p)), min_size=1, unique=True))
    mask = None
    if masked:
        shape = p["xs"].shape[: -1 if masked == "members" else 1]
        mask = np.random.default_rng(seed).random(shape) < 0.6
    options = {"reverse": reverse, "truncate": truncate, "checkpoint": checkpoint}
    check(cell, p, names, mask=mask, **options)


@pytest.mark.parametrize("cell", GATES)
def test_later_inputs_and_other_members_do_not_count(cell):
    p = operands(cell, 5, 3, 2, 4)
    pattern = sparsity(lambda xs: outputs(cell, {**p, "xs": xs})[0], p["xs"]).toarray()
    t, member = np.divmod(np.arange(60) // 4, 3)
    s, other = np.divmod(np.arange(30) // 2, 3)
    assert (pattern == ((s <= t[:, None]) & (other == member[:, None]))).all()


def test_zeros_of_weights_do_not_count():
    p = operands("rnn", 3, 0, 2, 2)
    p["W"] = np.eye(2)
    f = lambda h0: outputs("rnn", {**p, "h0": h0})[0]
    assert sparsity(f, p["h0"]).toarray().all()


def test_sparse_jacobian():
    p = operands("gru", 6, 4, 2, 3)
    f = lambda h0: outputs("gru", {**p, "h0": h0})[0]
    found = bp.sparse.jacobian(f)(p["h0"]).toarray()
    dense = bp.jacobian(f)(p["h0"]).reshape(found.shape)
    np.testing.assert_allclose(found, dense, rtol=1e-12, atol=1e-15)
