"""`draw`: a picture of what was recorded, or of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.graph import Passive, Variable
from fastbp._core.links import leaves_of
from fastbp._core.tape import Tape
from fastbp.compiling.plans import Plans
from fastbp.pictures import Box, Drawing, collapsed
from fastbp.rules import patterns, plans

__all__ = ["draw"]


def draw(x: Any, path: Any = None, *, inputs: Any = None) -> Drawing:
    r"""Draw what a value was computed from, or what a compiled function does.

    Parameters
    ----------
    x : Variable, container of them, or compiled function
        Of values the record: operations with the shapes and dtypes of what they return, arrows
        along the data; of a function its last plan, a box for each instruction.
    path : str or path, optional
        Where to write a picture: ``.dot`` or ``.gv`` is graphviz's text; ``.svg``, ``.png`` and
        ``.pdf`` are drawn by graphviz where that is installed, else by matplotlib.
    inputs : Variable or sequence of them, optional
        Only what depends on these, with their names; by default all that `x` depends on.

    Returns
    -------
    Drawing
        ``str(drawing)`` is graphviz's text, ``drawing.save(path)`` writes a picture, and notebooks
        show it.

    Raises
    ------
    TypeError
        If `x` is neither.
    ImportError
        If a picture is asked for where neither graphviz nor matplotlib is installed
        (``pip install ".[plot]"``).

    Notes
    -----
    What only looks at an array in another way (a transpose, a part) is no box but stands beside the
    arrow. In pictures of more than 40 boxes what repeats, as the steps of a loop, is drawn once.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> x = bp.variable(np.ones((2, 3)), name="x")
    >>> print(bp.draw(np.sum(np.tanh(x.T)), inputs=x), end="")  # doctest: +ELLIPSIS
    digraph {
    ...
      b0 [label="x\nfloat64 (2, 3)", shape=oval, fillcolor="#dbe9f6"];
      b1 [label="tanh\nfloat64 (3, 2)", shape=box, fillcolor="#ffffff"];
      b2 [label="sum\nfloat64 ()", shape=box, fillcolor="#ffffff"];
      b3 [label="result\nfloat64 ()", shape=oval, fillcolor="#d9f0d3"];
      b0 -> b1 [label="transpose"];
      b1 -> b2;
      b2 -> b3;
    }
    """
    drawing = x.drawing() if isinstance(x, Plans) else _of_record(x, inputs)
    if path is not None:
        drawing.save(path)
    return drawing


def _of_record(x: Any, inputs: Any) -> Drawing:
    ends = [y for y in tree.flatten(x)[0] if type(y) is Variable or type(y) is Passive]
    if not ends:
        raise TypeError(
            f"draw: a {type(x).__name__} was not recorded: give a Variable, as a function of "
            "bp.variable(...) returns, or a compiled function"
        )
    if inputs is None:
        leaves, names = leaves_of(ends), {}
    else:
        leaves = tree.flatten(inputs)[0]
        wrong = [v for v in leaves if type(v) is not Variable]
        if wrong:
            raise TypeError(f"draw: inputs must be Variables, not a {type(wrong[0]).__name__}")
        names = {k: v.name for k, v in enumerate(leaves) if v.name}
    tape = Tape(ends, leaves, keep=True)
    return collapsed(_drawn(tape, names))


def _drawn(tape: Tape, names: dict[int, str]) -> Drawing:
    links = tape.links()
    boxes: list[Box] = []
    arrows: list[tuple[int, int, str, bool]] = []
    # Where a value is from: a box, and the views on the way.
    origin: dict[int, tuple[int, tuple[str, ...]]] = {}
    named = {p: names.get(k, f"input {k}") for k, p in enumerate(tape.input_positions) if p >= 0}
    for position, link in enumerate(links):
        what = f"{link.dtype} {tuple(link.shape)}"
        if position in named or link.op is None:
            if position not in named:
                continue  # the joint node of several outputs
            boxes.append(Box([named[position], what], "input"))
            origin[position] = len(boxes) - 1, ()
            continue
        sources = [origin[p] for p in link.parents if p in origin]
        if len(sources) == 1 and link.op.pattern is patterns.moves and _is_view(link):
            number, views = sources[0]
            origin[position] = number, (*views, link.op.name)
            continue
        boxes.append(Box([link.op.name, what], "product" if _is_product(link) else "other"))
        origin[position] = len(boxes) - 1, ()
        arrows += [(k, len(boxes) - 1, ", ".join(views), False) for k, views in sources]
    for position in tape.output_positions:
        if position in origin:
            number, views = origin[position]
            link = links[position]
            boxes.append(Box(["result", f"{link.dtype} {tuple(link.shape)}"], "result"))
            arrows.append((number, len(boxes) - 1, ", ".join(views), False))
    return Drawing(boxes, arrows)


def _is_product(link: Any) -> bool:
    return link.op.info.get("plan") in (plans.contracts, plans.multiplies_matrices)


def _is_view(link: Any) -> bool:
    """Say whether an operation of one operand shows its memory in another way."""
    (p,) = [k for k, parent in enumerate(link.parents) if parent >= 0]
    x = np.empty(link.operands[p].shape, link.dtype)
    operands = [x if k == p else y for k, y in enumerate(link.operands)]
    return len(operands) == 1 and np.may_share_memory(link.op.forward(*operands, **link.static), x)
