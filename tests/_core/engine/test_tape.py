"""The tape: its methods against brute force on random graphs."""

import itertools

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import graph, sweep
from fastbp._core.tape import ConsumedError, Tape


class RandomGraph:
    """Values of several sizes, each made from one or two earlier ones; and who reads whom."""

    def __init__(self, rng, count, n_inputs, n_outputs, outer=0):
        self.values, self.parents = [], []
        for _ in range(outer):
            self.add(bp.variable(rng.normal(size=rng.integers(1, 4))))
        self.inputs = [
            self.add(bp.variable(rng.normal(size=rng.integers(1, 4)))) for _ in range(n_inputs)
        ]
        for _ in range(count):
            i, j = (int(k) for k in rng.integers(len(self.values), size=2))
            a, b = self.values[i], self.values[j]
            if i != j and a.shape == b.shape and rng.random() < 0.5:
                self.add(a * b, i, j)
            elif rng.random() < 0.4:
                joined = self.add(np.concatenate([a, b]), i, j)
                self.add(self.values[joined][: 1 + (i + j) % 3], joined)
            else:
                self.add(np.sin(a), i)
        n = len(self.values)
        self.outputs = [int(k) for k in rng.integers(n, size=n_outputs)]
        if count > 5:  # one that depends on others
            self.inputs.append(int(rng.integers(n_inputs + outer, n)))

    def add(self, value, *parents):
        self.values.append(value)
        self.parents.append(parents)
        return len(self.values) - 1

    def tape(self, independent):
        ends = [[self.values[k] for k in ks] for ks in (self.outputs, self.inputs)]
        return Tape(*ends, independent)

    def edges(self, independent):
        """Edges on paths from inputs to outputs, and the nodes there."""
        cut = set(self.inputs) if independent else set()
        parents = [[] if k in cut else ps for k, ps in enumerate(self.parents)]
        n = len(parents)
        below = [k in self.inputs for k in range(n)]
        for k in range(n):
            below[k] = below[k] or any(below[p] for p in parents[k])
        above = [k in self.outputs for k in range(n)]
        for k in reversed(range(n)):
            if above[k]:
                for p in parents[k]:
                    above[p] = True
        nodes = [k for k in range(n) if below[k] and above[k]]
        return nodes, {k: [p if below[p] else -1 for p in parents[k]] for k in nodes}


@pytest.fixture(params=range(60))
def made(request):
    rng = np.random.default_rng(request.param)
    g = RandomGraph(
        rng, int(rng.integers(0, 25)), int(rng.integers(1, 4)), int(rng.integers(1, 4)),
        outer=int(rng.integers(0, 2)),
    )  # fmt: skip
    independent = bool(request.param % 2)
    tape = g.tape(independent)
    nodes, parents = g.edges(independent)
    return g, tape, nodes, parents, independent


def positions(g, tape):
    """Where the nodes of the graph are on the tape."""
    ids = {x.node_id: k for k, x in enumerate(g.values)}
    return {ids[tape.variable(i).node_id]: i for i in range(len(tape))}


def test_nodes_parents_and_ends(made):
    g, tape, nodes, parents, _ = made
    at = positions(g, tape)
    assert len(tape) == len(nodes)
    assert sorted(at) == nodes
    for k in nodes:
        found = tape.parents_of(at[k])
        assert found == tuple(at[p] if p >= 0 else -1 for p in parents[k])
        assert all(p < at[k] for p in found)
    assert tape.output_positions == [at.get(k, -1) for k in g.outputs]
    assert tape.input_positions == [at.get(k, -1) for k in g.inputs]
    assert tape.reached == [k in at for k in g.inputs]


def readers(tape):
    found = [[] for _ in range(len(tape))]
    for i in range(len(tape)):
        for p in tape.parents_of(i):
            if p >= 0:
                found[p].append(i)
    return found


def test_last_readers(made):
    _, tape, *_ = made
    expected = [max(r, default=i) for i, r in enumerate(readers(tape))]
    for p in tape.output_positions:
        if p >= 0:
            expected[p] = len(tape)
    assert tape.last_readers == expected


def sizes(tape):
    return [tape.variable(i).size for i in range(len(tape))]


def test_what_is_alive(made):
    _, tape, *_ = made
    size, last = sizes(tape), tape.last_readers
    assert tape.largest == max(size, default=0)
    at_a_time = [
        sum(size[j] for j in range(i + 1) if last[j] >= i) for i in range(len(tape))
    ]  # what a forward sweep has when it computes i
    assert tape.alive == max(at_a_time, default=0)


def paths(tape):
    """All paths, as sets of positions, from an input to an output (few nodes only)."""
    ends = {p for p in tape.output_positions if p >= 0}
    into = readers(tape)

    def further(i):
        if i in ends:
            yield (i,)
        for j in set(into[i]):
            for rest in further(j):
                yield (i, *rest)

    starts = {p for p in tape.input_positions if p >= 0}
    return [set(path) for p in starts for path in itertools.islice(further(p), 20000)]


def test_waypoints_and_waist(made):
    _, tape, *_ = made
    all_paths = paths(tape)
    common = set.intersection(*all_paths) if all_paths else set()
    assert tape.waypoints() == sorted(common)
    ends = {*tape.input_positions, *tape.output_positions}
    inner = sorted(common - ends)
    found = tape.waist()
    if not inner:
        assert found is None
    else:
        size = sizes(tape)
        least = min(size[k] for k in inner)
        latest = max(k for k in inner if size[k] == least)
        assert found.node_id == tape.variable(latest).node_id


def test_outer_inputs(made):
    g, tape, *_, independent = made
    oldest = min(g.values[k].node_id for k in g.inputs)
    cut = set(g.inputs) if independent else set()
    expected, seen, stack = set(), set(), list(g.outputs)
    while stack:
        k = stack.pop()
        if k in seen:
            continue
        seen.add(k)
        if g.values[k].node_id < oldest:
            expected.add(g.values[k].node_id)
        elif k not in cut:
            stack += g.parents[k]
    found = [x.node_id for x in tape.outer_inputs()]
    assert sorted(found) == sorted(expected)
    assert tape.outer == bool(expected)


def test_links_say_what_the_tape_says(made):
    _, tape, *_ = made
    for i, link in enumerate(tape.links()):
        assert link.variable.node_id == tape.variable(i).node_id
        assert (link.op is None) == (max(tape.parents_of(i), default=-1) < 0)
        if link.op is not None:
            assert link.parents == tape.parents_of(i)


def test_sweeps_of_one_tape_agree_with_fresh_ones(made, rng):
    g, tape, _, _, independent = made
    outputs = [g.values[k] for k in g.outputs]
    inputs = [g.values[k] for k in g.inputs]
    gs = [rng.normal(size=y.shape) for y in outputs]
    ts = [rng.normal(size=x.shape) for x in inputs]
    for _ in range(2):
        bars = sweep.reverse(tape, gs)
        dots = sweep.forward(tape, ts)
        again = Tape(outputs, inputs, independent)
        for found, expected in zip(
            [*bars, *dots], [*sweep.reverse(again, gs), *sweep.forward(again, ts)], strict=True
        ):
            assert (found is None) == (expected is None)
            if found is not None:
                np.testing.assert_array_equal(found, expected)
    # <g, J t> = <J.T g, t>: to the rounding of the sums
    left = sum(np.sum(a * b) for a, b in zip(gs, dots, strict=True) if b is not None)
    right = sum(np.sum(a * b) for a, b in zip(ts, bars, strict=True) if b is not None)
    size = sum(np.sum(abs(a * b)) for a, b in zip(gs, dots, strict=True) if b is not None)
    assert abs(left - right) <= 1e-11 * (1.0 + size)


# ---- what a tape refuses


def test_a_consumed_tape_refuses():
    x = bp.variable(np.arange(4.0))
    tape = Tape([np.sum(np.sin(x) * x)], [x])
    (g,) = sweep.reverse(tape, [None], consume=True)
    np.testing.assert_allclose(g, np.cos(x.value) * x.value + np.sin(x.value), rtol=1e-14)
    for again in (
        lambda: sweep.reverse(tape, [None]),
        lambda: sweep.forward(tape, [np.ones(4)]),
        tape.links,
        tape.waist,
        lambda: tape.parents_of(0),
        lambda: tape.variable(0),
        lambda: tape.largest,
        lambda: tape.alive,
        lambda: tape.work,
    ):
        with pytest.raises(ConsumedError, match="consuming sweep has freed"):
            again()


def test_a_tape_is_walked_once():
    x = bp.variable(1.0)
    tape = Tape([x * 2.0], [x])
    with pytest.raises(TypeError, match="walked once"):
        tape.__init__([x * 3.0], [x])
    assert len(tape) == 2


def test_ends_are_variables():
    x = bp.variable(1.0)
    with pytest.raises(TypeError, match="between Variables, not floats"):
        Tape([1.0], [x])
    with pytest.raises(TypeError, match="between Variables, not ndarrays"):
        Tape([x], [np.ones(2)])


def test_positions_are_checked():
    x = bp.variable(1.0)
    tape = Tape([x * 2.0], [x])
    for position in (-1, 2):
        with pytest.raises(IndexError, match="of a tape of 2 nodes"):
            tape.parents_of(position)
        with pytest.raises(IndexError, match="of a tape of 2 nodes"):
            tape.variable(position)


def test_since_bounds_a_tape_without_inputs():
    w = bp.variable(np.ones(3))
    since = graph.current_id()
    y = np.sin(w) * 2.0
    tape = Tape([y], [], since=since)
    assert len(tape) == 0
    assert [x.node_id for x in tape.outer_inputs()] == [w.node_id]


def test_ends_do_not_move_with_their_handles():
    x = bp.variable(np.ones(2))
    y = x * 3.0
    tape = Tape([y], [x])
    y[0] = 0.0
    x[1] = 7.0
    np.testing.assert_array_equal(sweep.reverse(tape, [np.ones(2)])[0], [3.0, 3.0])


# ---- one walk for many sweeps


def test_a_pullback_walks_once(monkeypatch):
    walks = []

    def counted(*args, **kwargs):
        walks.append(args)
        return Tape(*args, **kwargs)

    for module in ("recording", "transforms.recorded", "transforms.scalars"):
        monkeypatch.setattr(f"fastbp.{module}.Tape", counted)
    x = np.arange(3.0)
    _, pullback = bp.vjp(np.sin, x)
    _, pushforward = bp.linearize(np.sin, x)
    for _ in range(3):
        np.testing.assert_array_equal(pullback(np.ones(3))[0], np.cos(x))
        np.testing.assert_array_equal(pushforward(np.ones(3)), np.cos(x))
    assert len(walks) == 2
