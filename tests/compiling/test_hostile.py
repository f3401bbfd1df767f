"""Programs that a compiled function once computed wrongly, or failed at."""

import numpy as np

import fastbp as bp

X = np.array([0.5, -1.25, 2.0])
Y = np.array([1.5, 0.25, -0.75])


def test_sums_of_broadcast_operands_below_block_axes(rng):
    # The axes of a Jacobian lead, and are not summed.
    for f in (
        lambda x, y: y * np.mean(x, axis=-2, keepdims=True),
        lambda x, y: y * x[:1],
        lambda x, y: y * x[:1, 0] + y * x[0, 0],
    ):
        slope = bp.jacobian(f)
        compiled = bp.compile(slope)
        for _ in range(2):
            x, y = rng.standard_normal((2, 3, 3))
            np.testing.assert_allclose(compiled(x, y), slope(x, y), rtol=1e-13)
