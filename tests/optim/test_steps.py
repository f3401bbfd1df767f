"""One step: the formulas, containers and dtypes, and the same step as a plan."""

from dataclasses import dataclass

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.errors import DTypeError, ShapeError
from fastbp.optim import SGD, Adam, AdamW

RULES = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: Adam(0.05),
    "adamw": lambda: AdamW(0.05, weight_decay=0.1),
    "schedule": lambda: AdamW(lambda step: 0.1 * 0.5**step, b1=0.0),
}
DTYPES = [np.float64, np.float32, np.complex128, np.complex64]


def by_hand(name, p, gradients):
    """The same in float64 or complex128, from the papers, with b**t as a power."""
    v, m, s = np.zeros_like(p), np.zeros_like(p), np.zeros(p.shape)
    for t, g in enumerate(gradients, 1):
        g = np.conj(g)
        if name == "sgd":
            p = p - 0.1 * g
        elif name in ("momentum", "nesterov"):
            v = 0.9 * v + g
            p = p - 0.1 * (g + 0.9 * v if name == "nesterov" else v)
        else:
            b1 = 0.0 if name == "schedule" else 0.9
            rate = 0.1 * 0.5 ** (t - 1) if name == "schedule" else 0.05
            decay = {"adam": 0.0, "adamw": 0.1, "schedule": 0.01}[name]
            m = b1 * m + (1 - b1) * g
            s = 0.999 * s + 0.001 * np.abs(g) ** 2
            step = m / (1 - b1**t) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
            p = p - rate * step - rate * decay * p
    return p


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", RULES)
def test_the_formulas(name, dtype, rng):
    def draw():
        x = rng.standard_normal((3, 2))
        return (x + 1j * rng.standard_normal((3, 2)) if np.dtype(dtype).kind == "c" else x).astype(
            dtype
        )

    p, gradients, opt = draw(), [draw() for _ in range(4)], RULES[name]()
    params = {"a": p, "b": [p[0], "a setting", p[0, 0]]}
    state = opt.init(params)
    for g in gradients:
        slopes = {"a": g, "b": [g[0], None, g[0, 0]]}
        params, state = opt.update(slopes, state, params)
    wide = np.result_type(dtype, np.float64)
    want = by_hand(name, p.astype(wide), [g.astype(wide) for g in gradients])
    assert params["a"].dtype == dtype
    bound = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(params["a"], want, bound, bound)
    assert params["b"][0].tobytes() == params["a"][0].tobytes()
    assert params["b"][1] == "a setting"
    np.testing.assert_allclose(params["b"][2], want[0, 0], bound, bound)
    assert params["b"][2].dtype == dtype
    assert state["step"].tolist() == [4.0]
    assert state["step"].dtype == np.zeros((), dtype).real.dtype
    kept = [x for key in opt.kept for x in tree.flatten(state[key])[0]]
    assert {np.result_type(x, dtype) for x in kept} <= {np.dtype(dtype)}


@dataclass
class Model:
    w: object
    n: int


def test_containers_numbers_and_unconnected_parameters():
    params = Model((1.0, np.ones(2)), 3)
    slopes = bp.grad(lambda m: m.w[0] * m.n + 0.0 * m.w[1][0], unconnected="none")(params)
    opt = SGD(0.5, momentum=0.5)
    after, state = opt.update(slopes, opt.init(params), params)
    assert after.w[0] == -0.5
    assert after.n == 3
    assert state["velocity"].n is None
    # Keys in another order are the same ones.
    p, g = {"a": np.zeros(1), "b": np.ones(1)}, {"b": np.ones(1), "a": np.zeros(1)}
    assert SGD(1.0).update(g, SGD(1.0).init(p), p)[0] == {"a": [0.0], "b": [0.0]}
    # Whole numbers become floats, as for a gradient.
    after, _ = SGD(0.25).update([2.0], SGD().init([3]), [3])
    assert after == [2.5]


def test_mixed_precision_counts_in_the_wider_one():
    params = {"a": np.ones(2, np.float32), "b": np.ones(2)}
    opt = Adam(lambda step: 0.1 / (1.0 + step))
    state = opt.init(params)
    assert state["step"].dtype == np.float64
    after, _ = opt.update(params, state, params)
    assert [x.dtype for x in after.values()] == [np.float32, np.float64]
    np.testing.assert_allclose(after["a"], after["b"], rtol=1e-6)


def test_derivatives_by_settings_and_start(rng):
    x = rng.standard_normal(3)

    def after(rate, p):
        opt = Adam(rate, b1=0.5, b2=0.5)
        state = opt.init(p)
        for _ in range(3):
            p, state = opt.update(bp.grad(lambda p: np.sum((p - x) ** 2))(p), state, p)
        return np.sum(p**2)

    bp.testing.check_grads(after, (0.3, np.array([1.0, 2.0, -1.0])), order=1)


def test_errors():
    p = {"w": np.ones(2)}
    opt = Adam(0.1)
    state = opt.init(p)
    with pytest.raises(ValueError, match=r"Adam: learning_rate must be a number of at least 0"):
        Adam(-0.1)
    with pytest.raises(ValueError, match=r"AdamW: b2 must be a number in \[0, 1\), not 1.0"):
        AdamW(0.1, b2=1.0)
    with pytest.raises(ValueError, match=r"SGD: momentum must be a number in \[0, 1\), not 'x'"):
        SGD(momentum="x")
    with pytest.raises(ValueError, match="SGD: nesterov=True needs a momentum"):
        SGD(nesterov=True)
    with pytest.raises(TypeError, match=r"Adam.update: the state must be a dict of step, mean"):
        opt.update(p, p, state)
    with pytest.raises(ShapeError, match=r"Adam.update: params\['w'\] has shape \(2,\), its grad"):
        opt.update({"w": np.ones(3)}, state, p)
    with pytest.raises(ShapeError, match=r"Adam.update: grads has the keys \['v'\]"):
        opt.update({"v": np.ones(2)}, state, p)
    with pytest.raises(ShapeError, match="learning_rate must return a number"):
        Adam(lambda step: np.ones(3)).update(p, state, p)
    with pytest.raises(DTypeError, match=r"Adam.init: params\['w'\] has shape .* float16"):
        opt.init({"w": np.ones(2, np.float16)})
    with pytest.raises(DTypeError, match=r"Adam.init: there are no parameters in \{\}"):
        opt.init({})
    assert repr(Adam(0.5)) == "Adam(learning_rate=0.5, b1=0.9, b2=0.999, eps=1e-08)"


# ---- as a plan


def network(p, x, y):
    hidden = np.tanh(x @ p["w"] + p["b"])
    return np.mean((hidden @ p["v"] - y) ** 2)


def start(rng, dtype):
    sizes = {"w": (4, 8), "b": (8,), "v": (8, 3)}
    params = {k: rng.standard_normal(n).astype(dtype) for k, n in sizes.items()}
    return {**params, "note": "a setting"}


@pytest.mark.parametrize("name", RULES)
def test_a_training_step_is_one_plan_in_place(name, rng):
    opt, gradient = RULES[name](), bp.value_and_grad(network)

    def step(params, state, x, y):
        value, slopes = gradient(params, x, y)
        return *opt.update(slopes, state, params), value

    params = start(rng, np.float64)
    x, y = rng.standard_normal((16, 4)), rng.standard_normal((16, 3))
    compiled, state = bp.compile(step), opt.init(params)
    own = tree.map(lambda p: p if isinstance(p, str) else p.copy(), (params, state))
    value = np.zeros(())
    bound = compiled.bind(*own, x, y, out=(*own, value))
    assert "call" not in compiled.explain()
    for turn in range(4):
        x[:] = rng.standard_normal((16, 4))
        found = compiled(params, state, x, y)
        params, state, loss = step(params, state, x, y)
        bound()
        for result in (found, (*own, value[()])):
            pairs = zip(
                tree.flatten(result)[0], tree.flatten((params, state, loss))[0], strict=True
            )
            assert all(a.tobytes() == b.tobytes() for a, b in pairs if not isinstance(a, str)), turn
    assert compiled.stats()["plans"] == 1


def test_a_training_step_of_single_precision(rng):
    opt, gradient = Adam(lambda step: 0.01 / (1.0 + step)), bp.grad(network)

    def step(params, state, x, y):
        return opt.update(gradient(params, x, y), state, params)

    params = start(rng, np.float32)
    x, y = (rng.standard_normal((16, n)).astype(np.float32) for n in (4, 3))
    compiled, state = bp.compile(step), opt.init(params)
    for _ in range(3):
        found = compiled(params, state, x, y)
        params, state = step(params, state, x, y)
        for a, b in zip(tree.flatten(found)[0], tree.flatten((params, state))[0], strict=True):
            if not isinstance(a, str):
                assert a.dtype == b.dtype == np.float32
                np.testing.assert_allclose(a, b, 1e-4, 1e-6)
    assert "call" not in compiled.explain()
    assert compiled.stats()["plans"] == 1
