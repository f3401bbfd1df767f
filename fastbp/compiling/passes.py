"""What is done to make a plan short and fast, each with a switch: to test it, and to find a fault.

The variable FASTBP_PASSES of the environment is read whenever a plan is made: ``-fusion,-reuse``
switches two of them off, ``none`` all, ``none,fusion`` all but one.
"""

from __future__ import annotations

import os

__all__ = ["PASSES", "enabled"]

PASSES = {
    "dead": "what leads to no result is left out",
    "common": "equal operations on equal operands are made once",
    "folding": "what follows from constants is one",
    "early": "sums and products that are smaller than what they read are made early",
    "rolling": "repeated instructions are one loop",
    "packing": "numbers that a step carries and treats alike are one array",
    "sinking": "elementwise work on a stack that a loop alone reads is done in the loop",
    "fusion": "elementwise work over one shape is one region",
    "reductions": "what elementwise work computes is summed where it runs",
    "placing": "what goes to a part of a larger array is computed there, or added there",
    "waiting": "sums of products and of parts are added up where they lie",
    "stacking": "a sum of products is one product of stacked operands",
    "indexing": "what indices that are values name is read, and added to, without Python",
    "hoisting": "what depends on no carry of a loop is computed before it",
    "picking": "elements that a table names are read where work on them runs",
    "inplace": "work writes into what it reads for the last time",
    "reuse": "memory of what is not read any more is given out again",
}


def enabled() -> frozenset[str]:
    """Return the names of the passes that are switched on.

    Raises
    ------
    ValueError
        If FASTBP_PASSES names something else.
    """
    names = set(PASSES)
    for word in filter(None, os.environ.get("FASTBP_PASSES", "").replace(",", " ").split()):
        name = word.lstrip("+-")
        if word == "none":
            names.clear()
        elif name not in PASSES:
            raise ValueError(
                f"compile: FASTBP_PASSES names {word!r}; the passes are {', '.join(PASSES)}, each "
                "with a - in front to be switched off, and none"
            )
        elif word[0] == "-":
            names.discard(name)
        else:
            names.add(name)
    return frozenset(names)
