"""The harness over the table of operations: every row, in every dtype, layout and mode."""

import functools
import itertools

import numpy as np
import pytest
import scipy.special

import fastbp as bp
import fastbp.scipy.special as bsp
from fastbp import tree
from fastbp._core import graph, sweep
from fastbp._core.tape import Tape
from fastbp.errors import NoRuleError
from fastbp.rules import OPS
from fastbp.rules.table import FUNCTIONS, SAMPLES
from fastbp.testing import check_grads

from .. import oracle, versions
from ..harness import (
    DTYPES,
    ELEMENTWISE,
    LAYOUTS,
    Call,
    assert_close,
    calls_of,
    directions,
    function_of,
    indexing_calls,
    laid_out,
    largest,
    numpy_function,
    operands_of,
    parameters_of,
    public_function,
)

SHAPES = {
    1: [((),), ((3,),), ((2, 3),), ((0,),), ((2, 0, 3),)],
    2: [
        ((), ()),
        ((2, 3), (2, 3)),
        ((2, 3), (3,)),
        ((2, 1), (1, 3)),
        ((), (2, 3)),
        ((3,), ()),
        ((0,), (1,)),
        ((2, 0, 3), (3,)),
    ],
    3: [
        ((), (), ()),
        ((2, 3), (2, 3), (2, 3)),
        ((2, 3), (3,), (2, 1)),
        ((), (3,), ()),
        ((2, 0, 3), (3,), ()),
    ],
}
pytestmark = pytest.mark.filterwarnings("ignore:logm result")  # of SciPy, of float32
CALLS = [
    pytest.param(call, id=f"{name}-{k}")
    for name in SAMPLES
    for k, call in enumerate(calls_of(name))
]
CALLS += [pytest.param(call, id=name) for name, call in indexing_calls().items()]
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
by_call = pytest.mark.parametrize("call", CALLS)
by_op = pytest.mark.parametrize("op", ELEMENTWISE.values(), ids=ELEMENTWISE)


def operand_sets(op, rng, dtype=np.float64):
    """Sample operands of all shapes: 0-d, empty, equal, broadcast."""
    return [operands_of(op, shapes, rng, dtype) for shapes in SHAPES[op.nin]]


def cast(arrays, dtype):
    return [x.astype(dtype) for x in arrays]


def single(expected, found):
    """Round to single precision where that was kept, and SciPy has a double loop only."""
    return tree.map(
        lambda y, z: (
            np.asarray(y).astype(z.dtype) if getattr(z, "dtype", None) in ("f4", "c8") else y
        ),
        expected,
        found,
    )


def in_double(y, precise):
    """Return what doubles give where SciPy gives doubles of singles, some by way of singles."""
    return precise if getattr(y, "dtype", None) in ("f8", "c16") else y


def values(structure):
    return tree.map(lambda y: y.value if type(y) is bp.Variable else y, structure)


# ---- the table itself


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_elementwise_row_is_complete(name):
    op = ELEMENTWISE[name]
    domain = op.info["domain"]
    pairs = domain if isinstance(domain[0], tuple) else (domain,)
    assert len(pairs) in (1, op.nin)
    assert all(lo < hi for lo, hi in pairs)
    assert op.nin == len(op.partials)
    assert name in oracle.ORACLE, "no independent implementation"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_has_samples_and_a_docstring(name):
    function = FUNCTIONS[name]
    if isinstance(function, graph.Op):
        assert function.name in ELEMENTWISE or calls_of(name)
        return
    assert (function.__doc__ or "").strip()
    assert any(function_of(sampled) is function for sampled in SAMPLES), "no samples"
    assert all(calls_of(sampled) for sampled in SAMPLES if function_of(sampled) is function)


def test_every_operation_is_reached_by_a_sample(rng):
    reached = set(ELEMENTWISE)
    for op in ELEMENTWISE.values():  # helpers stand in their partials
        reached |= operations_in(Call(op, operands_of(op, ((3,),) * op.nin, rng), {}))
    x = np.array([0.0, 1.0])
    square_of_a_kink = Call(lambda x: np.square(np.abs(x)), (x,), {})
    parts = (np.real, np.imag, np.conj, np.sign, np.arctan)
    of_parts = Call(lambda x: [f((1 + 2j) * x) for f in parts], (x + 1.0,), {})
    # Of a determinant's third derivative.
    turned = Call(
        lambda a: bp.jvp(bp.grad(np.linalg.det), (a,), (np.eye(3),))[1],
        (np.diag(x[[0, 1, 1]]),),
        {},
    )
    tiny_shape = Call(lambda x: bsp.gammainc(0.01 * x, x), (x + 1.0,), {})
    for call in (
        square_of_a_kink,
        of_parts,
        turned,
        tiny_shape,
        *[parameters.values[0] for parameters in CALLS],
    ):
        reached |= operations_in(call)
    for name, op in OPS.items():  # what an operation does instead where operands are complex
        if op.on_complex not in (None, True):
            reached |= operations_in(of_complex_numbers(name, rng))
    if versions.has("scipy 1.15"):
        reached |= operations_in(Call(lambda x: bsp.zeta(x + 1j), (x + 2.0,), {}))
    else:
        reached |= {"complex_zeta", "riemann_k"}  # of no numbers that SciPy's zeta takes
    # What has no derivative at all is not recorded.
    recorded = {name for name, op in OPS.items() if not len(op.constants) >= abs(op.nout)}
    assert reached >= recorded, sorted(recorded - reached)


def of_complex_numbers(name, rng):
    """Return a call of an elementwise operation of the real operands' multiples."""
    if name in ELEMENTWISE:
        op = ELEMENTWISE[name]
        call = Call(op, operands_of(op, ((3,),) * op.nin, rng), {})
    else:
        call = calls_of(f"scipy.special.{name}")[0]
    return Call(lambda *xs: call.everything(*[(1 + 0.5j) * x for x in xs]), call.arrays, {})


def operations_in(call):
    """Return the names of the operations recorded by a call, by its VJP and by its JVP."""
    xs = [bp.variable(x) for x in call.arrays]
    ys = [y for y in tree.flatten(call(*xs))[0] if type(y) is bp.Variable]
    gs = [bp.variable(g) for g in directions([y.value for y in ys])]
    x_bars = bp.gradients(ys, xs, gs, create_graph=True) if ys else []
    ts = [bp.variable(t) for t in directions(call.arrays)]
    swept = [*x_bars, *sweep.forward(Tape(ys, xs), ts, True)]
    swept = [y for y in swept if type(y) is bp.Variable]
    again = sweep.forward(Tape(swept, xs), ts, True)
    ends = [y for y in (*ys, *swept, *again) if type(y) is bp.Variable]
    return {link.op.name for link in Tape(ends, [*xs, *gs, *ts]).links() if link.op is not None}


# ---- values


@by_dtype
@by_op
def test_elementwise_values_are_numpys(op, dtype, rng):
    for xs, layout in itertools.product(operand_sets(op, rng, dtype), LAYOUTS):
        expected = op.forward(*xs)
        ys = [laid_out(x, layout) for x in xs]
        assert_close(op(*map(bp.variable, ys)).value, expected, ulps=4)
        assert_close(op(*ys), expected, ulps=4)


@by_dtype
@by_call
def test_values_are_numpys(call, dtype):
    arrays = cast(call.arrays, dtype)
    expected = call.everything(*arrays)
    for layout in LAYOUTS:
        xs = [laid_out(x, layout) for x in arrays]
        found = call.everything(*map(bp.variable, xs))
        rounded = single(expected, found) if call.keeps_single else expected
        try:
            assert_close(values(found), rounded, magnitude=call.magnitude(arrays))
        except AssertionError:
            if dtype != np.float32:
                raise
            precise = tree.map(in_double, rounded, call.everything(*cast(arrays, np.float64)))
            assert_close(values(found), precise, magnitude=call.magnitude(arrays))
        for x, before in zip(xs, arrays, strict=True):
            np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_namespace_mirrors_numpy(name, rng):
    """`fastbp.numpy` computes what NumPy does, on arrays and on Variables."""
    function = public_function(name)
    own = numpy_function(name)
    if isinstance(FUNCTIONS[name], graph.Op) and name not in SAMPLES:
        op = FUNCTIONS[name]
        xs = operands_of(op, ((2, 3),) * op.nin, rng)
        expected = (own or op.forward)(*xs)
        assert_close(function(*xs), expected)
        assert_close(function(*map(bp.variable, xs)).value, expected)
        return
    for sampled in SAMPLES:
        for call in calls_of(sampled) if function_of(sampled) is FUNCTIONS[name] else ():
            expected = call.on(own or call.function, call.arrays)
            found = call.on(function, call.arrays)
            assert tree.map(type, found) == tree.map(type, expected)
            magnitude = call.magnitude(call.arrays)
            assert_close(
                found,
                expected,
                ulps=0 if own and own is not getattr(scipy.special, name, None) else 16,
            )
            recorded = call.on(function, [bp.variable(x) for x in call.arrays])
            assert_close(values(recorded), expected, magnitude=magnitude)


# ``x.resize`` gives an array another shape in place, which is not recorded.
METHODS = [name for name in SAMPLES if hasattr(np.ndarray, name) and name != "resize"]


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_those_of_arrays(name):
    """A method of ndarray does the same on a Variable, and is recorded."""
    for call in calls_of(name):
        args, kwargs = call.treedef.unflatten(call.leaves)
        if not args or type(args[0]) is not np.ndarray or args[0].dtype != np.float64:
            continue  # as in ``choose(indices, arrays)``
        a = args[0].copy()
        try:
            expected = getattr(a, name)(*args[1:], **kwargs)
        except (TypeError, AttributeError):
            continue  # an argument that only the function has, a method that was removed
        x = bp.variable(args[0])
        y = +x
        found = getattr(y, name)(*args[1:], **kwargs)
        if expected is None:  # in place
            expected, found = a, y
        assert_close(values(found), expected, magnitude=call.magnitude(call.arrays))
        assert bp.gradients(found, x, np.ones(found.shape), unconnected="raise").shape == x.shape


@pytest.mark.parametrize("name", [name for name in SAMPLES if "out" in parameters_of(name)])
def test_out_is_refused_by_name(name):
    call = calls_of(name)[0]
    args, kwargs = call.arguments([bp.variable(x) for x in call.arrays])
    out = np.zeros_like(call.on(call.function, call.arrays))
    with pytest.raises(NoRuleError, match="out"):
        call.function(*args, **kwargs, out=out)
    assert not out.any()


# ---- derivatives


@by_op
def test_partials_are_those_of_an_independent_implementation(op, rng):
    """Reverse and forward against mpmath, to a few roundings."""
    xs = operands_of(op, ((6,),) * op.nin, rng)
    y, pullback = bp.vjp(op, *xs)
    expected = [
        [float(oracle.partial(op.name, k, *map(float, point))) for point in zip(*xs, strict=True)]
        for k in range(op.nin)
    ]
    values = [float(oracle.value(op.name, *map(float, point))) for point in zip(*xs, strict=True)]
    bound = max(1e-14, op.info["error"][0]) if op.info.get("reach") else 1e-14
    np.testing.assert_allclose(y, values, rtol=bound, atol=1e-15)
    np.testing.assert_allclose(pullback(np.ones(6)), expected, rtol=bound, atol=1e-15)
    for k in range(op.nin):
        tangents = [np.ones(6) if j == k else np.zeros(6) for j in range(op.nin)]
        np.testing.assert_allclose(bp.jvp(op, xs, tangents)[1], expected[k], rtol=bound, atol=1e-15)


@by_dtype
@by_op
def test_elementwise_derivatives(op, dtype, rng):
    for xs in operand_sets(op, rng, dtype):
        check_grads(op, tuple(xs), order=2)


@by_dtype
@by_call
def test_derivatives(call, dtype):
    check_grads(call, tuple(cast(call.arrays, dtype)), order=2)


@by_op
def test_elementwise_derivatives_do_not_depend_on_layout(op, rng):
    for xs in operand_sets(op, rng):
        same_in_every_layout(op, xs)


@by_call
def test_derivatives_do_not_depend_on_layout(call):
    same_in_every_layout(call, call.arrays)


def same_in_every_layout(f, arrays):
    expected = vjp_and_jvp(f, arrays, "C")
    for layout in LAYOUTS[1:]:
        # A cotangent of one element is a sum; its terms are the other elements of the structure.
        assert_close(vjp_and_jvp(f, arrays, layout), expected, magnitude=largest(expected))


def vjp_and_jvp(f, arrays, layout):
    """Apply both derivatives to arrays laid out alike; these must come out untouched."""
    xs = [laid_out(x, layout) for x in arrays]
    y, pullback = bp.vjp(f, *xs)
    g, t = (tree.map(functools.partial(laid_out, layout=layout), directions(d)) for d in (y, xs))
    given = [*xs, *tree.flatten(g)[0], *t]
    before = [np.array(x) for x in given]
    found = pullback(g), bp.jvp(f, xs, t)[1]
    for x, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(x, copy)
    return found


@by_op
def test_elementwise_cotangents_one_at_a_time(op, rng):
    for xs in operand_sets(op, rng):
        one_at_a_time(op, xs)


@by_call
def test_cotangents_one_at_a_time(call):
    one_at_a_time(call, call.arrays)


def paired(cotangents, tangents):
    return sum(np.real(np.sum(a * b)) for a, b in zip(cotangents, tangents, strict=True))


def one_at_a_time(f, arrays):
    """With the others constant, an argument has the same derivatives."""
    y, pullback = bp.vjp(f, *arrays)
    g, tangents = directions(y), directions(list(arrays))
    together = pullback(g)
    total = 0.0
    for k in range(len(arrays)):

        def alone(x, k=k):
            return f(*arrays[:k], x, *arrays[k + 1 :])

        if getattr(f, "function", None) is np.full_like and k == 1:
            continue  # NumPy asks the first argument only
        assert_close(bp.vjp(alone, arrays[k])[1](g)[0], together[k])
        t = bp.jvp(alone, (arrays[k],), (tangents[k],))[1]
        total += paired(tree.flatten(g)[0], tree.flatten(t)[0])
    expected = paired(together, tangents)
    np.testing.assert_allclose(total, expected, rtol=1e-11, atol=1e-11)


@by_dtype
@by_op
def test_long_arrays_are_computed_block_by_block(op, dtype, rng):
    """What repeats a short array has its derivatives, repeated: beyond the block size, too."""
    times = 3, 400  # 8 400 elements, where a thread takes 8 192 at once
    short = operands_of(op, ((7,),) * op.nin, rng, dtype)
    long = [np.tile(x, times) for x in short]
    g, ts = directions(short[0]), directions(short)
    y, pullback = bp.vjp(op, *long)
    y_short, pullback_short = bp.vjp(op, *short)
    expected = y_short, pullback_short(g), bp.jvp(op, short, ts)[1]
    found = (
        y,
        pullback(np.tile(g, times)),
        bp.jvp(op, long, [np.tile(t, times) for t in ts])[1],
    )
    assert_close(found, tree.map(lambda x: np.tile(x, times), expected), ulps=64)


# ---- what is beside an argument


@by_call
def test_constants_are_kept_as_they_were(call):
    """What is written into arrays beside the argument later changes no derivative."""
    if isinstance(call.function, graph.Op):
        return  # the function in front of it keeps them
    for k in range(len(call.arrays)):
        beside = [np.copy(x) if type(x) is np.ndarray else x for x in call.leaves]
        x = beside[call.moving[k]]

        def alone(x, k=k, beside=beside):
            own = Call(call.function, (), {}, call.symmetric)
            own.leaves, own.treedef, own.moving = beside, call.treedef, call.moving
            return own(*[x if j == k else beside[m] for j, m in enumerate(call.moving)])

        y, pullback = bp.vjp(alone, x, unconnected="zero")
        _, pushforward = bp.linearize(alone, x, unconnected="zero")
        g, t = directions(y), directions(x)
        before = pullback(g), pushforward(t)
        for other in beside:
            if type(other) is np.ndarray and other.flags.writeable:
                other[...] = np.flip(other) if other.dtype.kind in "iub" else other * 1.5 + 0.25
        after = pullback(g), pushforward(t)
        for a, b in zip(tree.flatten(after)[0], tree.flatten(before)[0], strict=True):
            np.testing.assert_array_equal(a, b)


# ---- products with Jacobians, which are linear


@by_op
def test_elementwise_products_are_their_own_derivatives(op, rng):
    for xs in operand_sets(op, rng):
        its_own_derivative(op, xs)


@by_call
def test_products_are_their_own_derivatives(call):
    its_own_derivative(call, call.arrays)


def its_own_derivative(f, arrays):
    """What `vjp` and `linearize` return is linear, and as any function once it is transformed."""
    y, pullback = bp.vjp(f, *arrays)
    _, pushforward = bp.linearize(f, *arrays)
    g, ts = directions(y), directions(list(arrays))
    pulled, pushed = pullback(g), pushforward(*ts)
    products = (pullback, (g,), (g,)), (pushforward, ts, ts)
    found = [bp.jvp(*product, unconnected="zero") for product in products]
    assert all(isinstance(x, np.ndarray | np.generic) for x in tree.flatten(found)[0])
    # What rounds in one element of a sum may cancel in another.
    assert_close(found, [(pulled, pulled), (pushed, pushed)], 256, largest([pulled, pushed]))


# ---- blocks of many (co)tangents


@by_op
def test_elementwise_jacobians(op, rng):
    for xs in operand_sets(op, rng):
        jacobians_agree(op, xs)


@by_dtype
@by_call
def test_jacobians(call, dtype):
    jacobians_agree(call, cast(call.arrays, dtype))


def jacobians_agree(f, arrays):
    """By reverse blocks, by forward blocks, and by one cotangent at a time."""
    argnums = tuple(range(len(arrays)))
    by_rows = bp.jacobian(f, argnums, mode="reverse")(*arrays)
    assert_close(bp.jacobian(f, argnums, mode="forward")(*arrays), by_rows, ulps=64)
    y, pullback = bp.vjp(f, *arrays)
    leaves, treedef = tree.flatten(y)
    if any(np.iscomplexobj(leaf) for leaf in leaves):
        return  # one cotangent has a real part only
    rows = []
    for k, leaf in enumerate(leaves):
        units = np.eye(np.size(leaf), dtype=np.asarray(leaf).dtype).reshape(
            (np.size(leaf), *np.shape(leaf))
        )

        def pulled(unit, k=k):
            others = list(map(np.zeros_like, leaves))
            others[k] = unit
            return pullback(treedef.unflatten(others))

        found = [pulled(unit) for unit in units]
        if units.dtype.kind == "c":  # of real arguments, whose cotangents are real parts
            imaginary = [pulled(1j * unit) for unit in units]
            found = tree.map(lambda re, im: re - 1j * im, found, imaginary)
        columns = (
            zip(*found, strict=True)
            if found
            else [[np.zeros((0, *x.shape), x.dtype)] for x in arrays]
        )
        rows.append(
            tuple(
                np.reshape(np.stack(c) if found else c, np.shape(leaf) + x.shape)
                for c, x in zip(columns, arrays, strict=True)
            )
        )
    assert_close(treedef.unflatten(rows), by_rows, ulps=64)


@by_call
def test_blocks_differentiate_again(call):
    """Jacobians of Jacobians in all four modes: blocks over recorded blocks."""
    arrays = call.arrays
    if not 0 < sum(x.size for x in arrays) <= 30:
        arrays = [x for x in arrays if x.size <= 30]
        if len(arrays) != len(call.arrays):
            pytest.skip("too large for second derivatives of every element")

    def weighted(y):
        # Blocks of two rows; and a contraction, which counts the axes that a block has.
        weights = np.cos(np.arange(2.0 * np.size(y))).reshape((2, *np.shape(y)))
        return np.tensordot(weights, np.sin(y + 0.25), np.ndim(y))

    def f(*xs):
        return [weighted(y) for y in tree.flatten(call(*xs))[0]]

    argnums = tuple(range(len(arrays)))
    found = [
        bp.jacobian(bp.jacobian(f, argnums, mode=inner), argnums, mode=outer)(*arrays)
        for inner in ("reverse", "forward")
        for outer in ("reverse", "forward")
    ]
    for other in found[1:]:
        assert_close(other, found[0], ulps=1024)
