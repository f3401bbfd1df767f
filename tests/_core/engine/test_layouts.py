"""Orders in memory: what is a view, and what a copy, follows from strides as NumPy has them."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp.rules.table import FUNCTIONS, SAMPLES

from ... import layouts
from ...harness import numpy_function

SHAPES = [(6,), (4,), (3, 4), (4, 2), (2, 3, 4), (2, 2, 3)]

# Results of these have NumPy's values; their order in memory is C's where NumPy's is another one.
OTHERS = {
    *("einsum", "linalg.qr", "median", "nanmedian", "nanpercentile", "nanquantile"),
    "poly",  # from NumPy 2.5 on a part of complex numbers
}


def _case(seed, layout):
    rng = np.random.default_rng(seed)
    shape = SHAPES[rng.integers(len(SHAPES))]
    x = layouts.laid_out(rng.normal(size=shape), layout)
    return rng, x, layouts.program(rng, x, int(rng.integers(2, 10)))


def _differences(steps, x):
    """Return the gradient of a program, which is linear, by differences over ndarrays."""
    found = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        values = []
        for change in (1.0, -1.0):
            y = layouts.same_layout(x)
            y[index] += change
            values.append(layouts.run(steps, y, np))
        found[index] = (values[0] - values[1]) / 2.0
    return found


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_programs_do_what_numpy_does(first, layout):
    for seed in range(first, first + 20):
        _, x, steps = _case([seed, layouts.LAYOUTS.index(layout)], layout)
        expected = []

        def keep(k, arrays, expected=expected):
            expected.append([y.copy() for y in arrays])

        def compare(k, arrays, expected=expected, steps=steps):
            for y, z in zip(arrays, expected[k], strict=True):
                found = y.value if isinstance(y, bp.Variable) else y
                np.testing.assert_array_equal(found, z, err_msg=str(steps[: k + 1]))

        value = layouts.run(steps, layouts.same_layout(x), np, keep)
        f = lambda x, steps=steps, compare=compare: layouts.run(steps, x, bnp, compare)
        found, gradient = bp.value_and_grad(f)(layouts.same_layout(x))
        assert found == value
        np.testing.assert_allclose(gradient, _differences(steps, x), atol=1e-9)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_compiled_programs_are_for_the_layouts_that_come(layout):
    for seed in range(8):
        rng, x, steps = _case([seed, 1, layouts.LAYOUTS.index(layout)], layout)
        f = bp.value_and_grad(lambda x, steps=steps: layouts.run(steps, x, bnp))
        compiled = bp.compile(f)
        for other in (layout, layout, "C", str(rng.choice(layouts.LAYOUTS)), layout):
            y = layouts.laid_out(rng.normal(size=x.shape), other)
            plain, found = f(layouts.same_layout(y)), compiled(layouts.same_layout(y))
            assert found[0] == plain[0]
            np.testing.assert_allclose(found[1], plain[1], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_compiled_programs_without_derivative(layout):
    """Whole numbers, which are on the record where it is compiled."""
    for seed in range(8):
        rng, x, steps = _case([seed, 2, layouts.LAYOUTS.index(layout)], layout)
        steps = [s for s in steps if s[0] != "x.flat[1] = s"]  # refused there, by name
        f = lambda x, steps=steps: np.sum(x) * layouts.run(steps, np.floor(4.0 * x), bnp)
        compiled = bp.compile(bp.value_and_grad(f))
        try:
            for other in (layout, layout, "C", str(rng.choice(layouts.LAYOUTS))):
                y = layouts.laid_out(rng.normal(size=x.shape), other)
                plain = bp.value_and_grad(f)(layouts.same_layout(y))
                found = compiled(layouts.same_layout(y))
                np.testing.assert_allclose(found[0], plain[0], rtol=1e-12, atol=1e-12)
                np.testing.assert_allclose(found[1], plain[1], rtol=1e-12, atol=1e-12)
        except IndexError:
            continue  # a step that needed the one that was left out


def _turned(x, how):
    if isinstance(x, (list, tuple)):
        return type(x)([_turned(item, how) for item in x])
    if not isinstance(x, np.ndarray) or x.dtype != np.float64 or not x.ndim or not x.size:
        return x
    return layouts.laid_out(x, how)


def _recorded(x):
    if isinstance(x, (list, tuple)):
        return type(x)([_recorded(item) for item in x])
    return bp.variable(x) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x


def _steps(x):
    return tuple([s if n > 1 else 0 for n, s in zip(x.shape, x.strides, strict=True)])


@pytest.mark.parametrize("how", ["F", "T", "strided", "reversed", "permuted"])
def test_results_are_in_numpys_order(how):
    differing = {}
    for name in sorted(SAMPLES):
        function = numpy_function(name)
        if function is None or name in OTHERS or name.startswith(("scipy.", "fft.")):
            continue
        for args, kwargs in SAMPLES[name](np.random.default_rng(0)):
            args = [_turned(x, how) for x in args]
            try:
                plain = function(*args, **kwargs)
            except (TypeError, ValueError):
                continue
            found = FUNCTIONS[name](*map(_recorded, args), **kwargs)
            if not isinstance(plain, (list, tuple)):
                plain, found = [plain], [found]
            for y, z in zip(found, plain, strict=True):
                if isinstance(y, bp.Variable) and z.size and _steps(y._array) != _steps(z):
                    differing[name] = _steps(z), _steps(y._array)
    assert not differing


def test_gaps_are_short():
    """A column of a large matrix is not kept with all that is between its elements."""
    x = np.zeros((300, 500))[:, 7]
    f = lambda x: x[:]
    v = bp.variable(x)
    w = f(v)
    w += 1.0
    assert graph.layout_of(v._array) == (16,)
    assert not v.flags.c_contiguous
    r = v.ravel()
    r[0] = 5.0
    assert v.value[0] == 1.0


def test_files_know_the_layout(tmp_path):
    def f(x):
        r = x.ravel()
        r[0] = 3.0 * x[1]
        return np.sum(x * np.arange(1.0, 5.0))

    wide = np.arange(8.0)
    g = bp.compile(bp.grad(f))
    for x in (wide[:4], wide[::2]):
        np.testing.assert_array_equal(g(x.copy()), [0.0, 5.0, 3.0, 4.0])
    np.testing.assert_array_equal(g(wide[::2]), [1.0, 2.0, 3.0, 4.0])
    g.save(tmp_path / "plan")
    loaded = bp.load(tmp_path / "plan")
    np.testing.assert_array_equal(loaded(wide[:4]), [0.0, 5.0, 3.0, 4.0])
    np.testing.assert_array_equal(loaded(wide[::2]), [1.0, 2.0, 3.0, 4.0])
