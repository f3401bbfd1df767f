"""Errors name the function as it was called, with its module: every row of the table."""

import numpy as np
import pytest
from scipy import special

import fastbp as bp
import fastbp.numpy as bnp
import fastbp.scipy.special as bsp
from fastbp._core import graph
from fastbp.errors import DTypeError, FastbpError, NoRuleError, ShapeError, named
from fastbp.rules.frames import name_of
from fastbp.rules.table import SAMPLES

from ..harness import ELEMENTWISE, called_name, calls_of, operands_of

TEXT = np.array(["a", "b", "c"])


def messages(f, *args, **kwargs):
    """Return what a call says if it raises one of fastbp's errors."""
    try:
        f(*args, **kwargs)
    except FastbpError as error:
        return [str(error)]
    except Exception:
        return []  # NumPy's or SciPy's own, as for plain arrays
    return []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLES)
def test_operands_and_arguments_that_are_refused(name):
    """A Variable at each place where a number or a setting is, text at each place of an array."""
    found = []
    for call in calls_of(name):
        variables = {k: bp.variable(x) for k, x in zip(call.moving, call.arrays, strict=True)}
        leaves = [variables.get(k, x) for k, x in enumerate(call.leaves)]
        for k, x in enumerate(leaves):
            if k in variables and len(variables) > 1:
                wrong = TEXT
            elif type(x) is int:
                wrong = bp.variable(float(x))
            else:
                continue
            args, kwargs = call.treedef.unflatten([*leaves[:k], wrong, *leaves[k + 1 :]])
            found += messages(call.function, *args, **kwargs)
        if not isinstance(call.function, graph.Op):
            args, kwargs = call.treedef.unflatten(leaves)
            found += messages(call.function, *args, **kwargs, out=np.zeros(()))
    for message in found:
        assert called_name(name) in message or "Variable cannot be" in message


@pytest.mark.parametrize("name", [name for name, op in ELEMENTWISE.items() if op.title != name])
def test_ufuncs_and_operations(name, rng):
    op = ELEMENTWISE[name]
    xs = [bp.variable(x) for x in operands_of(op, ((3,),) * op.nin, rng)]
    with pytest.raises(TypeError, match=op.title):
        op(*xs, *xs, *xs)
    if op.nin > 1:
        for f in (op, op.ufunc or op):
            with pytest.raises(DTypeError, match=op.title.rpartition(".")[0]) as caught:
                f(xs[0], *[TEXT] * (op.nin - 1))
            assert caught.match(rf"{op.title}: operand 1 has dtype <U1")
            with pytest.raises(ShapeError, match=rf"{op.title}: shapes"):
                f(*xs[1:], np.ones(4))
    if isinstance(op.ufunc, np.ufunc):
        with pytest.raises(NoRuleError, match=rf"{name_of(op.ufunc)}: the argument subok="):
            op.ufunc(*xs, subok=False)


ALIASES = [
    (special.expit, "scipy.special.expit"),
    (bsp.expit, "scipy.special.expit"),
    (special.log_expit, "scipy.special.log_expit"),
    (np.deg2rad, "numpy.deg2rad"),
    (bnp.deg2rad, "numpy.deg2rad"),
    (np.degrees, "numpy.degrees"),
    (bnp.sigmoid, "fastbp.numpy.sigmoid"),
    (bsp.logit, "scipy.special.logit"),
    (np.cbrt, "numpy.cbrt"),
    (special.cbrt, "scipy.special.cbrt"),
]


@pytest.mark.parametrize(("f", "name"), ALIASES)
def test_a_function_of_several_names_is_named_as_called(f, name):
    with pytest.raises(DTypeError) as caught:
        f(bp.variable(np.array([0.5 + 0.1j])))
    assert str(caught.value).startswith(f"{name}: operands of complex128: ")
    assert str(caught.value).count(".") == str(caught.value).replace("sigmoid", "").count(".")


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x, k: np.roll(x, k), "numpy.roll"),
        (lambda x, k: bnp.roll(x, k), "numpy.roll"),
        (lambda x, k: np.reshape(x, (k, 2)), "numpy.reshape"),
        (lambda x, k: np.fft.fft(x, n=k), "numpy.fft.fft"),
        (lambda x, k: np.vecdot(x, TEXT), "numpy.vecdot"),
        (lambda x, k: bsp.softmax([x, TEXT]), "scipy.special.softmax"),
        (lambda x, k: np.exp2(x, np.zeros(2)), "numpy.exp2"),
    ],
)
def test_where_a_variable_cannot_stand(f, name):
    with pytest.raises(FastbpError, match=rf"^{name}\b"):
        f(bp.variable(np.array([0.5, 1.5])), bp.variable(1.0))


def test_names_are_put_once():
    for text, found in (
        ("expit: no", "scipy.special.expit: no"),
        ("expit takes no", "scipy.special.expit takes no"),
        ("no number", "scipy.special.expit: no number"),
        ("see scipy.special.expit", "see scipy.special.expit"),
    ):
        assert str(named(DTypeError(text), "scipy.special.expit")) == found
    error = named(DTypeError("a.b: b is a.b"), "scipy.special.expit", "a.b")
    assert str(error) == "scipy.special.expit: b is scipy.special.expit"


def test_errors_of_functions_inside_name_both():
    def inner(row):
        return np.deg2rad(row)

    with pytest.raises(DTypeError, match=r"^numpy\.apply_along_axis: numpy\.deg2rad: operands"):
        np.apply_along_axis(inner, 0, bp.variable(np.ones((2, 2)) * 1j))
