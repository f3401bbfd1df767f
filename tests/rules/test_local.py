"""Derivatives as labels, as rows state them: against the Jacobian of the operation."""

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import graph
from fastbp._core.tape import Tape
from fastbp.rules import OPS
from fastbp.tensor.local import structured

CALLS = {
    "astype": lambda x: OPS["astype"](x, dtype=np.dtype("f8")),
    "broadcast_to": lambda x: np.broadcast_to(x[:, :1], (4, 2, 3)),
    "contract": lambda x: np.einsum("ij,kj->ik", x, np.arange(12.0).reshape(4, 3)),
    "matmul": lambda x: x @ np.arange(12.0).reshape(3, 4),
    "mean": lambda x: np.mean(x, axis=1, keepdims=True),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "sum": lambda x: np.sum(x, axis=0),
    "transpose": lambda x: np.transpose(x),
}


def test_every_row_that_says_so_is_tried():
    assert {name for name, op in OPS.items() if op.info.get("local")} == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_the_tensor_is_the_jacobian(name, rng):
    dtype = "f4" if name == "astype" else "f8"
    x = bp.variable(rng.normal(size=(2, 3)).astype(dtype))
    y = CALLS[name](x)
    (link,) = [link for link in Tape([y], [x]).links() if link.op is OPS[name]]
    start = graph.variable(np.asarray(rng.normal(size=link.operands[0].shape), dtype))
    out = link.op(start, *link.operands[1:], **link.static)
    tensor = structured(link, 0)
    for k in np.ndindex(out.shape):
        g = np.zeros(out.shape, out.dtype)
        g[k] = 1.0
        np.testing.assert_allclose(tensor.block(*k), bp.gradients(out, start, g), rtol=1e-6)


def test_a_stretched_batch_has_no_such_form():
    x = bp.variable(np.ones((1, 2, 3)))
    y = x @ np.ones((4, 3, 5))
    (link,) = [link for link in Tape([y], [x]).links() if link.op is OPS["matmul"]]
    assert structured(link, 0) is None
