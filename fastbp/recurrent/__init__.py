"""Recurrent compositions at C speed: cells whose time loops are fused, values and derivatives.

>>> import numpy as np
>>> import fastbp as bp
>>> rng = np.random.default_rng(0)
>>> xs, h0 = rng.standard_normal((5, 2)), np.zeros(3)
>>> W, U = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
>>> def loss(W, U):
...     hs, h_last = bp.recurrent.rnn(xs, h0, W=W, U=U)
...     return np.sum(h_last**2)
>>> [g.shape for g in bp.grad(loss, argnums=(0, 1))(W, U)]
[(3, 3), (2, 3)]
"""

from fastbp.recurrent.branches import cond, while_loop
from fastbp.recurrent.cells import gru, lstm, rnn
from fastbp.recurrent.scan import scan
from fastbp.recurrent.trajectories import sensitivity, trajectory_jacobians

__all__ = [
    "cond",
    "gru",
    "lstm",
    "rnn",
    "scan",
    "sensitivity",
    "trajectory_jacobians",
    "while_loop",
]
