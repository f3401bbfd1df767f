"""What a chain's product costs, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastbp.chain.base import Factor
from fastbp.chain.bracketing import Bracketing
from fastbp.chain.costs import Structure
from fastbp.chain.execution import names_of
from fastbp.chain.ordering import order

__all__ = ["Explanation", "Way", "explain"]


@dataclass(frozen=True)
class Way:
    """One order of a chain's products.

    Attributes
    ----------
    brackets : str
        Links by their positions.
    products : int
        Products that are made; equal ones are made once.
    flops, nbytes : float
    seconds : float
        Predicted by the cost model.
    result : Structure

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> chain = bp.chain.JacobianChain([np.ones((1, 50)), np.ones((50, 50)), np.ones((50, 50))])
    >>> way = chain.explain().chosen
    >>> way.brackets, way.flops
    ('((0 1) 2)', 10000.0)
    """

    brackets: str
    products: int
    flops: float
    nbytes: float
    seconds: float
    result: Structure

    @classmethod
    def _of(cls, brackets: Bracketing) -> Way:
        costs = brackets.costs
        return cls(
            brackets.text(),
            len(costs),
            sum(cost.flops for cost in costs),
            sum(cost.nbytes for cost in costs),
            brackets.seconds,
            costs[-1].result if costs else brackets.structures[0],
        )


@dataclass(frozen=True)
class Explanation:
    """The chosen order beside the two plain ones; printable.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> chain = bp.chain.JacobianChain([np.ones((1, 50)), np.ones((50, 50)), np.ones((50, 50))])
    >>> found = chain.explain()
    >>> found.right_to_left.flops / found.chosen.flops
    25.5
    """

    chosen: Way
    left_to_right: Way
    right_to_left: Way

    def __str__(self) -> str:
        lines = [f"{'order':14} {'products':>8} {'flops':>9} {'bytes':>9} {'seconds':>9}  result"]
        for name, way in (
            ("chosen", self.chosen),
            ("left to right", self.left_to_right),
            ("right to left", self.right_to_left),
        ):
            s = way.result
            lines.append(
                f"{name:14} {way.products:8} {way.flops:9.3g} {way.nbytes:9.3g} "
                f"{way.seconds:9.3g}  {s.kind} {s.m} x {s.n}"
            )
        return "\n".join([*lines, f"brackets: {self.chosen.brackets}"])


def explain(factors: Sequence[Factor]) -> Explanation:
    """Return the costs of a chain's product."""
    structures, names = [factor.structure for factor in factors], names_of(factors)
    return Explanation(
        *(Way._of(order(structures, names, how)) for how in ("auto", "left", "right"))
    )
