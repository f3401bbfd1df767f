"""A record that keeps everything, computed again from other inputs: nothing may have fallen off."""

import numpy as np

import fastbp as bp
from fastbp import tree
from fastbp._core import graph
from fastbp._core.graph import Passive, Variable
from fastbp._core.tape import Tape


class Kept:
    """One call of a function of arrays, recorded with everything."""

    def __init__(self, f, arrays):
        self.left = []
        self.inputs, handles = graph.leaves(list(arrays), True)
        self.result = graph.recorded_call(f, handles, {}, self.left)
        self.outputs, self.structure = tree.flatten(self.result)
        ends = [y for y in self.outputs if isinstance(y, Variable | Passive)]
        self.tape = Tape(ends, self.inputs, keep=True)
        self.links = self.tape.links()

    @property
    def values(self):
        """What the function returned, as arrays."""
        return self.structure.unflatten([np.asarray(graph.array_of(y)) for y in self.outputs])

    def replay(self, *arrays):
        """Compute what was recorded from other inputs; what is no recorded value stays."""
        known = {}
        for x, position in zip(arrays, self.tape.input_positions, strict=True):
            if position >= 0:
                known[position] = np.asarray(x)
        for position, link in enumerate(self.links):
            if link.op is not None:
                known[position] = self._computed(link, known)
        positions = iter(self.tape.output_positions)
        found = []
        for y in self.outputs:
            position = next(positions) if isinstance(y, Variable | Passive) else -1
            found.append(known[position] if position >= 0 else np.asarray(graph.array_of(y)))
        return self.structure.unflatten(found)

    @staticmethod
    def _computed(link, known):
        operands = []
        for k, parent in enumerate(link.parents):
            if parent >= 0:
                operands.append(known[parent])
            else:
                operands.append(link.operands[k])
        assert not any(isinstance(x, graph.Spec) for x in operands), link.op.name
        with np.errstate(all="ignore"):
            found = link.op.forward(*operands, **link.static)
        if link.op.residuals:
            found = found[0]
        if link.output is not None:
            found = found[link.output]
        return found if not isinstance(found, np.generic) else np.asarray(found)


def assert_kept(f, arrays, others=(), exits=(), ulps=16):
    """Check that a record with everything has the values of `f`, also at other arrays.

    `exits` are the kinds of values that may leave it.
    """
    kept = Kept(f, arrays)
    assert {what for what, *_ in kept.left} <= set(exits), kept.left
    _same(kept.values, f(*arrays), ulps)
    for moved in (arrays, *others):
        _same(kept.replay(*moved), f(*moved), ulps)
    return kept


def _same(found, expected, ulps):
    found, expected = (list(map(_plain, tree.flatten(x)[0])) for x in (found, expected))
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        if a.dtype.kind in "fc":
            eps = np.finfo(a.dtype).eps
            scale = np.max(np.abs(b[np.isfinite(b)]), initial=0.0)
            np.testing.assert_allclose(a, b, rtol=ulps * eps, atol=ulps * eps * scale)
        else:
            np.testing.assert_array_equal(a, b)


def _plain(x):
    return np.asarray(x.value if isinstance(x, bp.Variable) else x)
