"""Names and keywords of other libraries: errors that say what they are here."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.elsewhere import NAMES


@pytest.mark.parametrize("name", NAMES)
def test_names_of_other_libraries(name):
    with pytest.raises(AttributeError, match=f"'fastbp' has no attribute '{name}': write ") as e:
        getattr(bp, name)
    words = str(e.value).partition(": write ")[2].replace(",", " ").split()
    public = [word.partition("(")[0] for word in words if word.startswith("fastbp.")]
    for path in public:
        found = bp
        for part in path.removeprefix("fastbp.").split("."):
            found = getattr(found, part)
    assert public or name == "pmap"


def test_names_of_nobody():
    with pytest.raises(AttributeError, match=r"^module 'fastbp' has no attribute 'nothing'$"):
        bp.nothing  # noqa: B018


def test_attributes_of_other_arrays():
    x = bp.variable(np.ones(2))
    for name, instead in (
        ("grad", r"fastbp\.gradients"),
        ("backward", r"fastbp\.gradients"),
        ("detach", r"fastbp\.stop_gradient"),
        ("numpy", r"x\.value"),
        ("at", r"x\[i\] = v"),
    ):
        with pytest.raises(AttributeError, match=f"no attribute '{name}': write {instead}"):
            getattr(x, name)
    with pytest.raises(AttributeError, match=r"^Variable has no attribute 'nothing'$"):
        x.nothing  # noqa: B018


@pytest.mark.parametrize(
    "transform", [bp.grad, bp.value_and_grad, bp.elementwise_grad, bp.jacobian, bp.hessian]
)
def test_keywords_of_other_libraries(transform):
    def f(x, y):
        return x * y

    with pytest.raises(TypeError, match=rf"{transform.__name__}: .*argnum= is none: .* argnums="):
        transform(f, argnum=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        transform(f, nothing=1)
    transform(f, argnums=1)(1.0, 2.0)


def test_errors_of_the_function_are_left():
    def f(x, argnum):
        return np.sin(x, nothing=argnum)

    with pytest.raises(TypeError, match="nothing"):
        bp.grad(f)(1.0, argnum=1)


@pytest.mark.parametrize(
    ("f", "name", "instead"),
    [
        (bp.optim.adam, "lr", "learning_rate="),
        (bp.optim.sgd, "num_steps", "steps="),
        (bp.optim.adamw, "betas", "b1= and b2="),
        (bp.optim.lbfgs, "maxiter", "steps="),
        (bp.optim.Adam, "epsilon", "eps="),
        (bp.optim.SGD, "lr", "learning_rate="),
        (bp.optim.AdamW, "beta1", "b1="),
    ],
)
def test_settings_of_other_optimizers(f, name, instead):
    args = () if isinstance(f, type) else (lambda x: np.sum(x**2), np.ones(2))
    with pytest.raises(
        TypeError, match=f"^{f.__name__}: the argument {name}= is none: write {instead}$"
    ):
        f(*args, **{name: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        f(*args, nothing=1)


def test_a_keyword_is_meant_where_there_is_such_an_argument():
    with pytest.raises(TypeError, match="unexpected keyword argument 'lr'"):
        bp.grad(np.sin, lr=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'betas'"):
        bp.optim.sgd(np.sum, np.ones(2), 1, betas=(0.1, 0.2))
