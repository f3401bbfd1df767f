"""The optimizer of the trained examples; SciPy's are not made for batches."""

from __future__ import annotations

import numpy as np

__all__ = ["Adam"]


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015, end of section 2."""

    def __init__(self, params: dict[str, np.ndarray]) -> None:
        self.time = 0
        self.mean = {name: np.zeros_like(p) for name, p in params.items()}
        self.square = {name: np.zeros_like(p) for name, p in params.items()}

    def step(
        self, params: dict[str, np.ndarray], gradient: dict[str, np.ndarray], rate: float
    ) -> None:
        """Update the parameters in place."""
        self.time += 1
        rate = float(rate * np.sqrt(1 - 0.999**self.time) / (1 - 0.9**self.time))
        for name, g in gradient.items():
            self.mean[name] += 0.1 * (g - self.mean[name])
            self.square[name] += 0.001 * (g * g - self.square[name])
            params[name] -= rate * self.mean[name] / (np.sqrt(self.square[name]) + 1e-8)
