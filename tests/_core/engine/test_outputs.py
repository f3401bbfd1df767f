"""Operations of several outputs, and residuals that are opaque to differentiation."""

import gc
import itertools
import weakref

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import graph, sweep
from fastbp._core.graph import Op, Variable
from fastbp._core.tape import Tape
from fastbp.errors import ShapeError
from fastbp.rules import patterns


def reverse(outputs, cotangents, inputs, create_graph=False):
    return sweep.reverse(Tape(outputs, inputs), cotangents, create_graph)


def forward(outputs, inputs, tangents):
    return sweep.forward(Tape(outputs, inputs), tangents)


# Four outputs of two operands, of different shapes and dtypes; the third has no derivative.
#   u = sin(x) y,  v = sum(x y),  order = argsort(x),  w = float32(x u)


def function(x, y):
    s, c = np.sin(x), np.cos(x)
    return (s * y, np.sum(x * y), np.argsort(x), (x * s * y).astype(np.float32)), (s, c)


def pulled(g, needs, ans, x, y, residuals):
    u = ans[0]
    s, c = (np.sin(x), np.cos(x)) if residuals is None else residuals
    x_bar = y_bar = 0.0
    if g[0] is not None:
        x_bar, y_bar = g[0] * c * y, g[0] * s
    if g[1] is not None:
        each = np.reshape(g[1], (*g[1].shape, 1))
        x_bar, y_bar = x_bar + each * y, y_bar + each * x
    if g[3] is not None:
        wide = g[3].astype(np.float64)
        x_bar, y_bar = x_bar + wide * (u + x * c * y), y_bar + wide * x * s
    assert g[2] is None
    return x_bar, y_bar


def pushed(tangents, ans, x, y, residuals):
    u = ans[0]
    s, c = (np.sin(x), np.cos(x)) if residuals is None else residuals
    t_x, t_y = tangents
    found = [None] * 4
    if t_x is not None:
        found = [t_x * c * y, np.sum(t_x * y, -1), None, t_x * (u + x * c * y)]
    if t_y is not None:
        own = [t_y * s, np.sum(t_y * x, -1), None, t_y * x * s]
        found = [
            b if a is None else a if b is None else a + b for a, b in zip(found, own, strict=True)
        ]
    return tuple(found)


def make(vjp=pulled, jvp=pushed, **options):
    options = {"nin": 2, "nout": 4, "saves": (0, 1, ("ans", 0)), "residuals": True} | options
    return Op("four", function, vjp=vjp, jvp=jvp, **options)


KINDS = {
    "both": make(),
    "vjp": make(jvp=None),
    "jvp": make(vjp=None),
    "without blocks": make(blocks=False),
    "any number": make(nout=-1, saves=(0, 1, "ans")),
    "of a user": make(opaque=True),
}


def composed(x, y):
    u = np.sin(x) * y
    return u, np.sum(x * y), np.argsort(x), (x * u).astype(np.float32)


def uses(chosen):
    """Return functions of some of the outputs, by an operation and by single ones."""

    def of(make_four):
        def f(x, y):
            four = make_four(x, y)
            total = 0.0
            for k in chosen:
                if k == 0:
                    total = total + np.sum(four[0] ** 2 * y)
                if k == 1:
                    total = total + np.tanh(four[1])
                if k == 2:
                    total = total + np.sum(x[four[2]][:2] ** 2 * y[1:])
                if k == 3:
                    total = total + np.sum(four[3].astype(np.float64) * x)
            return total

        return f

    return of


SUBSETS = [s for n in (1, 2, 4) for s in itertools.combinations(range(4), n)]
# The third output is exact in float64; the fourth is rounded to float32 on its way.
CLOSE = {"rtol": 2e-6, "atol": 2e-6}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", SUBSETS, ids=str)
def test_all_modes(kind, chosen, rng):
    x, y, t, v = rng.normal(size=(4, 3))
    f, reference = uses(chosen)(KINDS[kind]), uses(chosen)(composed)
    assert f(x, y) == reference(x, y)
    for k in range(2):
        g = bp.grad(f, k)(x, y)
        np.testing.assert_allclose(g, bp.grad(reference, k)(x, y), **CLOSE)
        np.testing.assert_allclose(bp.hessian(f, k)(x, y), bp.hessian(reference, k)(x, y), **CLOSE)
    got, want = (bp.jvp(h, (x, y), (t, v)) for h in (f, reference))
    np.testing.assert_allclose(got, want, **CLOSE)

    def slope(h):
        return lambda x, y: np.sum(bp.grad(h)(x, y) ** 2)

    np.testing.assert_allclose(
        bp.grad(slope(f), 1)(x, y), bp.grad(slope(reference), 1)(x, y), rtol=2e-5, atol=2e-5
    )
    got, want = (bp.jvp(slope(h), (x, y), (t, v)) for h in (f, reference))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_blocks(kind, mode, rng):
    x, y = rng.normal(size=(2, 3))

    def of(make_four):
        def f(x):
            u, v, _, w = make_four(x, y)
            return np.concatenate([u, np.reshape(v, 1), w.astype(np.float64)])

        return f

    got = bp.jacobian(of(KINDS[kind]), mode=mode)(x)
    np.testing.assert_allclose(got, bp.jacobian(of(composed), mode=mode)(x), **CLOSE)


@pytest.mark.parametrize("seed", range(20))
def test_random_programs(seed):
    """Chains in which outputs meet again, of several operations and their single parts."""
    rng = np.random.default_rng(seed)
    kinds = list(KINDS.values())
    plan = [(rng.integers(3, size=2), rng.integers(len(kinds)), rng.random()) for _ in range(5)]
    start = rng.normal(size=(3, 4))

    def of(single):
        def f(x):
            values = [x[0], x[1], x[2]]
            for (i, j), kind, chance in plan:
                a, b = values[-1 - i], values[-1 - j]
                u, v, order, w = (composed if single else kinds[kind])(a, b)
                values.append(np.tanh(u) + b[order] if chance < 0.5 else np.cos(u))
                values.append(np.tanh(w.astype(np.float64)) + 0.1 * np.sin(v))
            return np.sum(values[-1] * values[-2])

        return f

    f, reference = of(False), of(True)
    t = rng.normal(size=start.shape)
    np.testing.assert_allclose(bp.grad(f)(start), bp.grad(reference)(start), rtol=1e-4, atol=1e-4)
    got, want = (bp.jvp(h, (start,), (t,)) for h in (f, reference))
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    got, want = (bp.hvp(h, start, t) for h in (f, reference))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


# ---- what comes back


def test_outputs_are_variables_where_they_have_a_derivative(rng):
    x, y = map(bp.variable, rng.normal(size=(2, 3)))
    u, v, order, w = KINDS["both"](x, y)
    assert [type(z) for z in (u, v, order, w)] == [Variable, Variable, np.ndarray, Variable]
    assert (u.dtype, v.shape, order.dtype, w.dtype) == ("f8", (), np.intp, "f4")


def test_without_variables_nothing_is_recorded(rng):
    x, y = rng.normal(size=(2, 3))
    four = KINDS["both"](x, y)
    assert isinstance(four, tuple)
    assert all(isinstance(z, (np.ndarray, np.floating)) for z in four)


def test_constant_outputs_may_be_any_object():
    class Factors:
        pass

    made = Factors()
    split = Op(
        "split",
        lambda x: (made, 2.0 * x, x + 1.0),
        nin=1,
        nout=3,
        constants=(0, 2),
        vjp=lambda g, needs, ans, x: (2.0 * g[1],),
        jvp=lambda t, ans, x: (None, 2.0 * t[0], None),
    )
    uses = Op(
        "uses",
        lambda f, x: x * (f is made),
        nin=2,
        objects=(0,),
        vjp=lambda g, needs, ans, f, x: (None, g),
        jvp=lambda t, ans, f, x: t[1],
    )
    x = bp.variable(np.ones(2))
    factors, twice, more = split(x)
    assert factors is made
    assert type(more) is np.ndarray
    np.testing.assert_array_equal(bp.gradients(np.sum(uses(factors, twice)), x), [2.0, 2.0])


def test_an_operation_whose_outputs_are_all_constant_is_not_recorded():
    signs = Op("signs", lambda x: (x > 0, x < 0), nin=1, nout=2)
    x = bp.variable(np.array([1.0, -1.0]))
    assert all(type(z) is np.ndarray for z in signs(x))


def test_any_number_of_outputs_may_be_one_array():
    op = Op(
        "any",
        lambda x: 3.0 * x,
        nin=1,
        nout=-1,
        vjp=lambda g, needs, ans, x: (3.0 * g,),
        jvp=lambda t, ans, x: 3.0 * t[0],
    )
    x = np.arange(3.0)
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(op(x)))(x), np.full(3, 3.0))
    assert bp.jvp(op, (x,), (x,))[1].tolist() == [0.0, 3.0, 6.0]


def test_outputs_that_are_views_of_an_operand():
    halves = Op(
        "halves",
        lambda x: (x[:2], x[2:]),
        nin=1,
        nout=2,
        vjp=lambda g, needs, ans, x: (
            np.concatenate(
                [np.zeros(a.shape) if b is None else b for a, b in zip(ans, g, strict=True)], -1
            ),
        ),
        jvp=lambda t, ans, x: (t[0][..., :2], t[0][..., 2:]),
    )

    def f(x):
        x = x * 1.0
        first, second = halves(x)
        first[0] = 7.0 * x[3]
        return np.sum(x * np.array([1.0, 2.0, 3.0, 4.0])) + np.sum(second**2)

    x = np.array([1.0, 2.0, 3.0, 4.0])
    value, g = bp.value_and_grad(f)(x)
    assert value == 28.0 + 4.0 + 9.0 + 16.0 + 25.0
    np.testing.assert_array_equal(g, [0.0, 2.0, 3.0 + 6.0, 7.0 + 4.0 + 8.0])


def test_writing_into_an_output_leaves_the_others_and_the_record(rng):
    x, y = rng.normal(size=(2, 3))

    def f(x):
        u, v, *_ = KINDS["both"](x, y)
        kept = u * 1.0
        u[:] = 0.0
        return np.sum(kept) + v + np.sum(u)

    want = bp.grad(lambda x: np.sum(composed(x, y)[0]) + composed(x, y)[1])(x)
    np.testing.assert_allclose(bp.grad(f)(x), want, rtol=1e-14)


def test_operands_that_were_made_in_the_function(rng):
    x = rng.normal(size=3)

    def f(x):
        y = np.ones(3)
        y[0] = 2.0
        u, _, _, _ = KINDS["both"](x, bp.numpy.ones(3))
        return np.sum(u * y)

    np.testing.assert_allclose(bp.grad(f)(x), np.cos(x) * [2.0, 1.0, 1.0], rtol=1e-15)
    made = []

    def g(x):
        made.append(KINDS["both"](bp.numpy.ones(3), bp.numpy.ones(3)))
        z = made[0][0]
        z[0] = x[0]
        return np.sum(z)

    np.testing.assert_array_equal(bp.grad(g)(x), [1.0, 0.0, 0.0])


# ---- ends, derivatives by outputs


def test_outputs_as_ends(rng):
    x, y = map(bp.variable, rng.normal(size=(2, 3)))
    u, v, _, w = KINDS["both"](x, y)
    out = np.sum(u * u) + v
    g_u, g_v, g_w = reverse([out], [None], [u, v, w])
    np.testing.assert_array_equal(g_u, 2.0 * u.value)
    assert g_v == 1.0
    assert g_w is None
    (g,) = reverse([u, v], [np.ones(3), np.array(1.0)], [x])
    np.testing.assert_allclose(g, np.cos(x.value) * y.value + y.value, rtol=1e-15)
    t_u, t_w = forward([u, w], [x], [np.ones(3)])
    np.testing.assert_allclose(t_u, np.cos(x.value) * y.value, rtol=1e-15)
    assert t_w.dtype == np.float32
    # An end that is behind another one is moved by both.
    (moved,) = forward([u * 1.0], [x, u], [np.zeros(3), np.ones(3)])
    np.testing.assert_array_equal(moved, np.ones(3))


@pytest.mark.parametrize("held", [True, False])
def test_rules_read_outputs_as_variables_again(held):
    """The derivative of a rule by the output that it reads, whether somebody holds that or not."""
    split = Op(
        "split",
        lambda x: (np.exp(x), np.exp(2.0 * x)),
        nin=1,
        nout=2,
        saves=("ans",),
        vjp=lambda g, needs, ans, x: (
            sum(c * a * b for c, a, b in zip((1.0, 2.0), g, ans, strict=True) if a is not None),
        ),
    )
    x = bp.variable(np.array(0.5))
    e, square = split(x)
    total = e * 3.0
    others = [square] if held else []
    del square
    (g,) = reverse([total], [None], [x], True)
    (second,) = reverse([g], [None], [x], True)
    (third,) = reverse([second], [None], [x])
    np.testing.assert_allclose([g.value, second.value, third], 3.0 * np.exp(0.5), rtol=1e-15)
    # g = 3 e reads the output e itself, through the rule.
    (by_output,) = reverse([g], [None], [e])
    assert by_output == 3.0
    del others


def test_residuals_are_for_plain_sweeps_only(rng):
    x, y = rng.normal(size=(2, 3))
    seen = []

    def spy(g, needs, ans, x, y, residuals):
        seen.append(residuals is not None)
        return pulled(g, needs, ans, x, y, residuals)

    op = make(vjp=spy, jvp=None)
    f = lambda x: np.sum(op(x, y)[0])
    bp.grad(f)(x)
    assert seen == [True]
    seen.clear()
    bp.grad(lambda x: np.sum(bp.grad(f)(x)))(x)
    assert seen[0] is False
    seen.clear()
    bp.jvp(f, (x,), (x,))  # the transpose of the rule, which is recorded for it
    assert seen == [False]


def test_residuals_of_one_output(rng):
    seen = []

    def vjp(g, needs, ans, x, residuals):
        seen.append(residuals)
        return (g * (np.cos(x) if residuals is None else residuals["c"]),)

    op = Op(
        "sine", lambda x: (np.sin(x), {"c": np.cos(x)}), nin=1, saves=(0,), residuals=True, vjp=vjp
    )
    x = rng.normal(size=4)
    np.testing.assert_array_equal(op(x), np.sin(x))
    np.testing.assert_array_equal(bp.grad(lambda x: np.sum(op(x)))(x), np.cos(x))
    assert set(seen[0]) == {"c"}
    np.testing.assert_allclose(
        np.diagonal(bp.hessian(lambda x: np.sum(op(x)))(x)), -np.sin(x), rtol=1e-15
    )
    np.testing.assert_allclose(bp.jvp(op, (x,), (np.ones(4),))[1], np.cos(x), rtol=1e-15)


# ---- zeros


@pytest.mark.parametrize("kind", ["fixed", "values"])
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_exact_zeros_meet_infinite_partials(kind, mode):
    """A branch that was not taken stays exactly zero through several outputs."""
    two = Op(
        "two",
        lambda x: (2.0 * x, -x),
        nin=1,
        nout=2,
        coefficients=kind,
        vjp=lambda g, needs, ans, x: (
            sum(c * a for c, a in zip((2.0, -1.0), g, strict=True) if a is not None),
        ),
        jvp=lambda t, ans, x: (2.0 * t[0], -t[0]),
    )

    def of(split):
        def f(x):
            first, second = split(np.sqrt(x))
            return np.where(x > 0.0, first * second, 0.0)

        return f

    def single(z):
        return 2.0 * z, -z

    x = np.array([0.0, 4.0])
    got = bp.jacobian(of(two), mode=mode)(x)
    want = bp.jacobian(of(single), mode=mode)(x)
    if kind == "fixed":
        np.testing.assert_array_equal(got, want)
    assert not np.isnan(got[1]).any() or kind == "values"


def test_sweeps_of_signed_zeros(rng):
    """The same numbers where a sweep is repeated with signed zeros."""
    y = np.array([1.0, 2.0, 3.0])

    def of(make_four):
        def f(x):
            u, v, _, w = make_four(np.where(x > 0, np.sqrt(x), 1.0), y)
            return np.sum(u) + v + np.sum(w.astype(np.float64))

        return f

    x = np.array([0.0, 2.0, 3.0])
    for op in KINDS.values():
        got, want = bp.grad(of(op))(x), bp.grad(of(composed))(x)
        assert got[0] == want[0] == 0.0
        np.testing.assert_allclose(got, want, **CLOSE)
        t = np.array([1.0, 1.0, 1.0])
        got, want = (bp.jvp(of(h), (x,), (t,)) for h in (op, composed))
        np.testing.assert_allclose(got, want, **CLOSE)


# ---- memory, collection


def large_op(keeps_residual=True, saves=(("ans", 1),)):
    return Op(
        "large",
        lambda x: ((x * 2.0, x * 3.0), np.ones(2)),
        nin=1,
        nout=2,
        saves=saves,
        residuals=True,
        vjp=lambda g, needs, ans, x, residuals: (2.0 * (g[0] + 0.0 * ans[1]),),
    )


def test_an_output_that_nobody_holds_is_freed():
    x = bp.variable(np.ones(1000))
    first, second = large_op()(x)
    ref_first, ref_second = weakref.ref(first.value), weakref.ref(second.value)
    out = np.sum(first)
    del first, second
    assert ref_first() is None  # no rule reads it
    assert ref_second() is not None  # one does
    np.testing.assert_array_equal(bp.gradients(out, x), np.full(1000, 2.0))
    del out
    assert ref_second() is None


def test_residuals_live_as_long_as_the_record():
    class Residual:
        pass

    alive = []

    def function(x):
        made = Residual()
        alive.append(weakref.ref(made))
        return (x + 1.0, x + 2.0), made

    op = Op(
        "kept",
        function,
        nin=1,
        nout=2,
        residuals=True,
        vjp=lambda g, needs, ans, x, residuals: (g[0],),
    )
    op(np.ones(2))
    assert alive[-1]() is None
    x = bp.variable(np.ones(2))
    first, second = op(x)
    del second
    assert alive[-1]() is not None
    out = np.sum(first)
    del first
    assert alive[-1]() is not None
    del out
    assert alive[-1]() is None


def test_a_consuming_sweep_frees_several_outputs(rng):
    x = rng.normal(size=(2000, 1000))  # more than what is kept until a sweep is done
    op = Op(
        "pair",
        lambda x: (x * 2.0, x * 3.0),
        nin=1,
        nout=2,
        saves=("ans",),
        vjp=lambda g, needs, ans, x: (2.0 * g[0] + 3.0 * g[1],),
    )

    def f(x):
        a, b = op(x)
        return np.sum(a * b)

    np.testing.assert_allclose(bp.grad(f)(x), 12.0 * x, rtol=1e-14)


def test_nodes_are_hidden_from_the_collector(rng):
    x, y = map(bp.variable, rng.normal(size=(2, 3)))
    four = KINDS["both"](x, y)
    assert not any(gc.is_tracked(z) for z in four if type(z) is Variable)
    assert all(gc.is_tracked(z) for z in KINDS["of a user"](x, y) if type(z) is Variable)


def test_cycles_through_a_rule_of_a_user_are_collected():
    class Closure:
        def __call__(self, g, needs, ans, x):
            return (g[0],)

    rule = Closure()
    op = Op("cyclic", lambda x: (x + 1.0, x + 2.0), nin=1, nout=2, opaque=True, vjp=rule)
    rule.outputs = op(bp.variable(np.ones(2)))
    ref = weakref.ref(rule)
    del op, rule
    assert ref() is not None
    gc.collect()
    assert ref() is None


def test_long_chains_die_without_recursion():
    op = Op(
        "swap",
        lambda x, y: (y, x),
        nin=2,
        nout=2,
        vjp=lambda g, needs, ans, x, y: (g[1], g[0]),
        jvp=lambda t, ans, x, y: (t[1], t[0]),
    )
    x = bp.variable(np.ones(1))
    a, b = x * 1.0, x * 2.0
    for _ in range(100001):
        a, b = op(a, b)
    out = np.sum(a)
    assert bp.gradients(out, x) == 2.0
    del a, b, out, x


# ---- the record as others see it


def test_analyses_of_the_tape(rng):
    x, y = map(bp.variable, rng.normal(size=(2, 3)))
    u, v, *_ = KINDS["both"](x, y)
    found = Tape([np.sum(u) + v], [x, y])
    assert found.reached == [True, True]
    assert not found.outer
    assert found.alive >= found.largest >= 3
    assert found.work > 0
    # Made again by a rule, an output is as old as its operation: from outside, if that is.
    since = graph.current_id()
    z = bp.variable(np.ones(3))
    outside = Tape([np.sum(u * z)], [z], since=since).outer_inputs()
    assert [a.node_id for a in outside] == [u.node_id]


def test_waypoints_are_never_joint_nodes():
    one = Op(
        "one",
        lambda x: (np.sum(x), np.max(x)),
        nin=1,
        nout=2,
        vjp=lambda g, needs, ans, x: (g[0][..., None] * np.ones(x.shape),),
        jvp=lambda t, ans, x: (np.sum(t[0], -1), None),
    )
    x = bp.variable(np.arange(4.0))
    first, _ = one(x)
    y = first * np.arange(3.0)
    found = Tape([y], [x])
    assert [found.variable(p).shape for p in found.waypoints()] == [(4,), (), (3,)]
    assert found.waist().node_id == first.node_id
    np.testing.assert_array_equal(
        bp.jacobian(lambda x: one(x)[0] * np.arange(3.0))(x.value),
        np.outer(np.arange(3.0), np.ones(4)),
    )
    chain = bp.chain.linearize(lambda x: one(x * x)[0] * np.arange(3.0), x.value)
    np.testing.assert_array_equal(chain.to_dense(), np.outer(np.arange(3.0), 2.0 * np.arange(4.0)))


def test_links_are_one_for_each_output(rng):
    x, y = map(bp.variable, rng.normal(size=(2, 3)))
    u, v, *_ = KINDS["both"](x, y)
    found = Tape([np.sum(u) * v], [x, y], True)
    record = found.links()
    own = [link for link in record if link.op is KINDS["both"]]
    assert [link.output for link in own] == [0, 1]
    assert [link.shape for link in own] == [(3,), ()]
    assert all(link.parents == tuple(found.input_positions) for link in own)
    assert len(own[0].ans) == 4
    joint = [k for k, link in enumerate(record) if link.op is None and link.variable is None]
    assert len(joint) == 1
    assert all(joint[0] not in link.parents for link in record)
    # The operands are read until the last output is there.
    last = max(record.index(link) for link in own)
    assert [found.last_readers[p] for p in found.input_positions] == [last, last]


def test_patterns_one_for_each_output():
    op = Op(
        "both",
        lambda x: (x * 2.0, np.cumsum(x)),
        nin=1,
        nout=2,
        pattern=(patterns.same, patterns.everything),
        vjp=lambda g, needs, ans, x: (g[0],),
        jvp=lambda t, ans, x: (t[0], t[0]),
    )

    def f(x):
        a, b = op(x)
        return np.concatenate([a, b[:1]])

    found = bp.sparse.sparsity(f, np.ones(3)).toarray()
    np.testing.assert_array_equal(found, np.concatenate([np.eye(3), np.ones((1, 3))]) > 0)


def test_explicit_derivatives(rng):
    x, y = rng.normal(size=(2, 3))

    def of(make_four):
        def f(x):
            u, v, _, w = make_four(x, y)
            return np.tanh(u) * v + w.astype(np.float64)

        return f

    want = bp.jacobian(of(composed))(x)
    for mode in ("chain", "auto"):
        np.testing.assert_allclose(bp.jacobian(of(KINDS["both"]), mode=mode)(x), want, **CLOSE)
    tensor = bp.tensor.derivative(of(KINDS["both"]), x)
    np.testing.assert_allclose(tensor.to_dense(), want, **CLOSE)
    assert "four" in str(bp.tensor.explain(of(KINDS["both"]), x))


def test_checkpoints_around_several_outputs(rng):
    x, y = rng.normal(size=(2, 3))
    outer = {}

    def f(x):
        outer["four"] = KINDS["both"](x, y)
        inner = bp.checkpoint(lambda z: np.sum(z * outer["four"][0]) + outer["four"][1])
        return inner(np.cos(x))

    def reference(x):
        u, v, *_ = composed(x, y)
        return np.sum(np.cos(x) * u) + v

    np.testing.assert_allclose(bp.grad(f)(x), bp.grad(reference)(x), rtol=1e-14)
    np.testing.assert_allclose(bp.hessian(f)(x), bp.hessian(reference)(x), rtol=1e-12)


# ---- errors


def test_wrong_numbers():
    x = bp.variable(np.ones(2))
    op = Op("two", lambda x: (x, x, x), nin=1, nout=2)
    with pytest.raises(ShapeError, match="two: its function must return 2 outputs; it returned 3"):
        op(x)
    op = Op("two", lambda x: x, nin=1, nout=2)
    with pytest.raises(ShapeError, match="two: its function must return a tuple of 2 outputs"):
        op(x)
    op = Op("two", lambda x: x, nin=1, residuals=True)
    with pytest.raises(TypeError, match="two: its function must return a pair"):
        op(x)
    op = Op(
        "two",
        lambda x: (x + 1.0, x + 2.0),
        nin=1,
        nout=2,
        vjp=lambda g, needs, ans, x: (g[0], g[1]),
        jvp=lambda t, ans, x: t,
    )
    first, _ = op(x)
    with pytest.raises(ShapeError, match="two: its vjp rule must return 1 cotangents"):
        reverse([first], [np.ones(2)], [x])
    with pytest.raises(ShapeError, match=r"two: its jvp rule must return 2 tangents.*returned 1"):
        forward([first], [x], [np.ones(2)])
    op = Op("two", lambda x: (x + 1.0, x + 2.0), nin=1, nout=2, jvp=lambda t, ans, x: t[0])
    with pytest.raises(ShapeError, match=r"two: its jvp rule must return 2 tangents.*no tuple"):
        forward([op(x)[0]], [x], [np.ones(2)])


def test_a_rule_of_wrong_shape():
    x = bp.variable(np.ones(2))
    op = Op(
        "two",
        lambda x: (x + 1.0, x + 2.0),
        nin=1,
        nout=2,
        vjp=lambda g, needs, ans, x: (np.ones(3),),
        jvp=lambda t, ans, x: (np.ones(3), None),
    )
    first, _ = op(x)
    with pytest.raises(ShapeError, match=r"two: a rule returned shape \(3,\)"):
        reverse([first], [np.ones(2)], [x])
    with pytest.raises(ShapeError, match=r"two: a rule returned shape \(3,\)"):
        forward([first], [x], [np.ones(2)])


def test_refused_dtypes():
    op = Op("two", lambda x: (x, x.astype(np.longdouble)), nin=1, nout=2)
    with pytest.raises(bp.errors.DTypeError, match="two: the result has dtype"):
        op(bp.variable(np.ones(2)))
    assert graph.current_id() > 0


def test_rules_without_blocks_may_return_none_for_some_vectors():
    op = Op(
        "two",
        lambda x: (2.0 * x, 3.0 * x),
        nin=1,
        nout=2,
        blocks=False,
        vjp=lambda g, needs, ans, x: (2.0 * g[0] if np.any(g[0][1:]) else None,),
        jvp=lambda t, ans, x: (2.0 * t[0] if np.any(t[0][1:]) else None, None),
    )
    x = np.ones(3)
    for mode in ("reverse", "forward"):
        found = bp.jacobian(lambda x: op(x)[0], mode=mode)(x)
        np.testing.assert_array_equal(found, np.diag([0.0, 2.0, 2.0]))


# ---- checkpoints and rules of users


def mixed(x):
    y = np.sin(x)
    return {"a": y * x, "b": (np.sum(y).astype(np.float32), np.argsort(x)), "c": y[1:]}


@pytest.mark.parametrize("names", ["a", "b", "c", "abc"])
def test_checkpoints_of_several_outputs(names, rng):
    x, t = rng.normal(size=(2, 4))

    def of(function):
        def f(x):
            out = function(x)
            total = 0.0
            for name in names:
                y = out[name][0] if name == "b" else out[name]
                total = total + np.sum(y**2).astype(np.float64)
            return total

        return f

    f, reference = of(bp.checkpoint(mixed)), of(mixed)
    np.testing.assert_allclose(bp.grad(f)(x), bp.grad(reference)(x), rtol=1e-6)
    np.testing.assert_allclose(bp.hessian(f)(x), bp.hessian(reference)(x), rtol=1e-5, atol=1e-6)
    got, want = (bp.jvp(h, (x,), (t,)) for h in (f, reference))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    out = bp.checkpoint(mixed)(bp.variable(x))
    assert [out["a"].dtype, out["b"][0].dtype, out["b"][1].dtype] == ["f8", "f4", np.intp]


def test_a_checkpoint_does_not_hold_its_values():
    x = bp.variable(np.ones(1000))
    first, second = bp.checkpoint(lambda x: (x * 2.0, x * 3.0))(x)
    refs = [weakref.ref(first.value), weakref.ref(second.value)]
    out = np.sum(first) + np.sum(second)
    del first, second
    assert [r() for r in refs] == [None, None]
    np.testing.assert_array_equal(bp.gradients(out, x), np.full(1000, 5.0))


def test_a_checkpoint_that_returns_something_else():
    results = [np.ones(2), np.ones(3)]

    def f(x):
        return x * results[0], x * 1.0

    def g(x):
        y, z = bp.checkpoint(f)(x)
        results.pop(0)
        return np.sum(y) + np.sum(z)

    with pytest.raises(ShapeError, match=r"returned float64 of shape \(2,\).*then.*\(3,\)"):
        bp.grad(g)(1.0)


@pytest.mark.parametrize("rules", ["vjp", "jvp", "both"])
def test_rules_of_users_with_several_outputs(rules, rng):
    def vjp(g, ans, x, y):
        r, *_ = ans
        assert g[2] is None
        return g[0] * x / r - g[1] * y / r**2, g[0] * y / r + g[1] * x / r**2

    def jvp(tangents, ans, x, y):
        r, *_ = ans
        t, s = tangents
        return (t * x + s * y) / r, (s * x - t * y) / r**2, None

    given = {"vjp": vjp, "jvp": jvp} if rules == "both" else {rules: locals()[rules]}
    polar = bp.custom_rule(
        lambda x, y: (np.hypot(x, y), np.arctan2(y, x), np.argsort(x)), name="polar", **given
    )

    def single(x, y):
        return np.hypot(x, y), np.arctan2(y, x), np.argsort(x.value if type(x) is Variable else x)

    def of(make, chosen):
        def f(x, y):
            out = make(x, y)
            assert type(out[2]) is np.ndarray
            return sum(np.sum(np.sin(out[k]) * np.arange(1.0, 4.0)) for k in chosen)

        return f

    x, y, t, s = rng.normal(size=(4, 3))
    for chosen in ((0,), (1,), (0, 1)):
        f, reference = of(polar, chosen), of(single, chosen)
        for k in range(2):
            got, want = (bp.grad(h, k)(x, y) for h in (f, reference))
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)
            got, want = (bp.hessian(h, k)(x, y) for h in (f, reference))
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
        got, want = (bp.jvp(h, (x, y), (t, s)) for h in (f, reference))
        np.testing.assert_allclose(got, want, rtol=1e-12)
    got, want = (bp.jacobian(lambda x, m=m: m(x, y)[1])(x) for m in (polar, single))
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_a_constant_output_that_a_rule_reads_may_be_written_into(rng):
    x = bp.variable(rng.uniform(1.0, 100.0, 5000))
    mantissa, exponent = np.frexp(x)
    expected = 0.5**exponent
    exponent[:] = 0
    np.testing.assert_array_equal(bp.gradients(np.sum(mantissa), x), expected)
