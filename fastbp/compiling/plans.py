"""What can be done with plans, those of a function and those from a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core.caller import Bound, Caller, Entry
from fastbp._core.graph import Passive, Variable
from fastbp.compiling.files import written
from fastbp.compiling.picture import picture_of
from fastbp.compiling.profile import Profile, profiled
from fastbp.errors import PlanFileError
from fastbp.pictures import Drawing

__all__ = ["Plans", "any_recorded"]


class Plans(Caller):
    """A function that runs plans."""

    def entry_for(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
        """Return the plan for a call."""
        raise NotImplementedError

    def bind(self, *args: Any, out: Any = None, **kwargs: Any) -> Bound:
        """Return a function without arguments that reads these arrays and writes the same results.

        Parameters
        ----------
        *args, **kwargs
            As the function takes them. Arrays must be in C order: they are read in every call, as
            they are then. Numbers stay what they are.
        out : array, or container of arrays, optional
            Where results go: arrays in C order, in the containers in which the function returns
            them. New ones by default. They may be arguments: these are written when all is
            computed.

        Returns
        -------
        callable
            It returns the same arrays each time; a number is an array of no axes. There are no
            checks in front of the instructions, and one thread may call it at a time.

        Raises
        ------
        StrongZeroError
            When it is called, where the function itself must be called: see `compile`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> x = np.array([1.0, 2.0])
        >>> step = bp.compile(bp.grad(lambda x: np.sum(x**3))).bind(x)
        >>> step()
        array([ 3., 12.])
        >>> x[:] = 1.0
        >>> step()
        array([3., 3.])
        """
        if any_recorded(args, kwargs):
            raise TypeError("bind: the arguments must be plain arrays and numbers")
        for x in tree.flatten((args, kwargs))[0]:
            if isinstance(x, np.ndarray) and not x.flags.carray:
                raise ValueError("bind: arrays must be in C order and writable")
        entry = self.entry_for(args, kwargs)
        made = entry.plan.empty()
        n = len(made) - entry.n_guards
        if out is not None:
            places = [_Place() for _ in range(n)]
            given = _given_for(out, entry.built(list(places)), places)
            fitting = all(
                isinstance(x, np.ndarray)
                and x.shape == y.shape
                and x.dtype == y.dtype
                and x.flags.carray
                for x, y in zip(given, made, strict=False)
            )
            if not fitting:
                like = ", ".join(f"{y.dtype}{list(y.shape)}" for y in made[:n])
                raise ValueError(f"bind: out must be writable arrays in C order, like {like}")
            read = [*tree.flatten((args, kwargs))[0], *entry.found()]
            copied = _apart(given, [x for x in read if isinstance(x, np.ndarray)])
            made[:n] = [own if x is None else x for own, x in zip(made, copied, strict=False)]
            moved = [(own, x) for own, x in zip(made, given, strict=False) if own is not x]
            return Bound(entry, args, kwargs, made, entry.built(given), moved)
        return Bound(entry, args, kwargs, made, entry.built(made[:n]), [])

    def profile(self, *args: Any, **kwargs: Any) -> Profile:
        """Return how long each instruction takes.

        Parameters
        ----------
        *args, **kwargs
            As the function takes them.

        Returns
        -------
        Profile
            Prints as a table, the seconds of one call in front; ``rows`` has the numbers.

        Notes
        -----
        The plan runs many times, instruction by instruction; of each the median counts. A loop is
        one instruction. All together may take longer than a call, in which no clock is read.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> slope = bp.compile(bp.grad(lambda w, x: np.sum(np.tanh(x @ w) ** 2)))
        >>> profile = slope.profile(np.ones((30, 20)), np.ones((40, 30)))
        >>> [row.kind for row in profile.rows]
        ['product', 'region', 'product']
        >>> print(profile)  # doctest: +ELLIPSIS
        a call: ... us, its 3 instructions: ... us
                us     %
          ...  product  (40, 20) (40, 30) @ (30, 20)
          ...  region   (40, 20) tanh multiply tanh_slope mulz
          ...  product  (30, 20) (30, 40) @ (40, 20)
        """
        if any_recorded(args, kwargs):
            raise TypeError("profile: the arguments must be plain arrays and numbers")
        return profiled(self, self.entry_for(args, kwargs), args, kwargs)

    def to_dot(self) -> str:
        """Return a picture of the last plan as text for graphviz; see `fastbp.draw`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> f = bp.compile(lambda x: np.sum(np.tanh(x) ** 2))
        >>> _ = f(np.ones(3))
        >>> f.to_dot().splitlines()[0]
        'digraph {'
        """
        return str(self.drawing())

    def drawing(self) -> Drawing:
        """Return the picture of the last plan; see `fastbp.draw`.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> f = bp.compile(lambda x: np.sum(np.tanh(x) ** 2))
        >>> _ = f(np.ones(3))
        >>> str(f.drawing()) == f.to_dot()
        True
        """
        if not self.entries:
            raise ValueError("draw: there is no plan yet: call the function first")
        return picture_of(self.entries[-1], getattr(self, "__wrapped__", None))

    def save(self, path: Any) -> None:
        """Write the plans that there are into a file, for `fastbp.load`.

        Parameters
        ----------
        path : str or path
            What is there is written over.

        Raises
        ------
        PlanFileError
            If there is no plan yet; if one calls a function that is no row of fastbp's table, or
            has arguments, results or settings of classes of yours.

        Notes
        -----
        The format is fastbp's own: arrays, and numbers and names that say what is done with them;
        no code, and no pickle. Arrays that the function finds around it are written as they are
        now.

        Examples
        --------
        >>> import os, tempfile
        >>> import numpy as np
        >>> import fastbp as bp
        >>> slope = bp.compile(bp.grad(lambda x: np.sum(x**3)))
        >>> slope(np.array([1.0, 2.0]))
        array([ 3., 12.])
        >>> path = os.path.join(tempfile.mkdtemp(), "slope.plan")
        >>> slope.save(path)
        >>> bp.load(path)(np.array([2.0, 3.0]))
        array([12., 27.])
        """
        current = [entry for entry in self.entries if entry.reason(None, None) is None]
        if not current:
            raise PlanFileError("save: there is no plan yet: call the function first")
        name = getattr(self, "__name__", None) or "function"
        data = written(current, name)
        with open(path, "wb") as file:
            file.write(data)

    def explain(self) -> str:
        """Return what the plans do, one line for each instruction.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> f = bp.compile(lambda x: np.sum(np.tanh(x) ** 2))
        >>> _ = f(np.ones(3))
        >>> print(f.explain())
        plan 0: 1 instructions, workspace 0 bytes
          region   (1,)                     tanh square summed
        """
        return "\n\n".join(_explained(k, entry.plan) for k, entry in enumerate(self.entries))


class _Place:
    """Stands for an output of a plan in a result."""


def _given_for(out: Any, result: Any, places: list[_Place]) -> list[Any]:
    """Return what is given for the outputs of a plan: in the result's containers, or a flat list.

    What else is in the result is the same in each call.
    """
    if isinstance(out, tuple | list) and len(out) == len(places):
        if all(isinstance(x, np.ndarray) for x in out):
            return list(out)
    leaves, structure = tree.flatten(result)
    given = {id(x): y for x, y in zip(leaves, structure.leaves_of(out, "bind: out"), strict=True)}
    return [given[id(x)] for x in places]


def _apart(outputs: list[np.ndarray], read: list[np.ndarray]) -> list[np.ndarray | None]:
    """Return where a plan may write: None for an output that lies where something is read."""
    for k, x in enumerate(outputs):
        if any(np.may_share_memory(x, y) for y in outputs[:k]):
            raise ValueError("bind: out must be arrays apart, two of them share memory")
    return [None if any(np.may_share_memory(x, y) for y in read) else x for x in outputs]


def _explained(k: int, plan: Any) -> str:
    lines = [f"plan {k}: {len(plan.facts)} instructions, workspace {plan.machine.work_bytes} bytes"]
    for kind, shapes, what in plan.facts:
        lines.append(f"  {kind:<8} {', '.join(map(str, shapes)):<24} {what}".rstrip())
    return "\n".join(lines)


def any_recorded(args: Any, kwargs: Any) -> bool:
    """Say whether a recorded value is among the arguments of a call."""
    leaves = tree.flatten((args, kwargs))[0]
    return any(type(x) is Variable or type(x) is Passive for x in leaves)
