"""Loops of Python become loops of a plan, of a size that does not depend on their length."""

import numpy as np
import pytest

import fastbp as bp
import fastbp.numpy as bnp
from fastbp import tree

pytestmark = [
    pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning"),
    pytest.mark.thread_unsafe(reason="FASTBP_PASSES belongs to the process"),
]


def leaves(x):
    return [np.asarray(y) for y in tree.flatten(x)[0]]


def compared(f, *args, exact=True):
    """Return the instructions of a plan; its values are those without rolling.

    Bit for bit, unless BLAS rounds by where matrices lie: not `exact`.
    """
    moved = [0.7 * x for x in args]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTBP_PASSES", "-rolling")
        plain = bp.compile(f)
        plain(*args)
    compiled = bp.compile(f)
    compiled(*args)
    for given in (args, moved):
        found, want, eager = (leaves(g(*given)) for g in (compiled, plain, f))
        for a, b, c in zip(found, want, eager, strict=True):
            if exact:
                np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(a, c, rtol=1e-9, atol=1e-12)
    assert "loop" not in [kind.strip() for kind, *_ in plain.entries[0].plan.facts]
    return compiled.entries[0].plan.facts


def kinds(facts):
    return [kind.strip() for kind, *_ in facts]


def rnn(w, u, b, xs, h):
    for x in xs:
        h = np.tanh(h @ w + x @ u + b)
    return np.sum(h * h)


def rnn_operands(rng, n_steps, batch=2, n=3):
    return (
        rng.standard_normal((n, n)) / 2.0,
        rng.standard_normal((n, n)),
        rng.standard_normal(n),
        rng.standard_normal((n_steps, batch, n)),
        rng.standard_normal((batch, n)),
    )


def logistic(p, y, n_steps):
    for k in range(n_steps):
        y = y + 0.01 * (p * y * (1.0 - y) + np.cos(0.1 * k) * (p @ y))
    return np.sum(y**2)


def runge_kutta(p, y, n_steps):
    def slope(y):
        return np.stack([p[0] * y[0] - p[1] * y[0] * y[1], p[2] * y[0] * y[1] - p[3] * y[1]])

    h = 0.01
    for _ in range(n_steps):
        k1 = slope(y)
        k2 = slope(y + h / 2.0 * k1)
        k3 = slope(y + h / 2.0 * k2)
        y = y + h / 6.0 * (k1 + 4.0 * k2 + slope(y + h * (2.0 * k3 - k1)))
    return np.sum(y**2)


def heat(p, u, n_steps):
    for _ in range(n_steps):
        u = u + p * (np.roll(u, 1) + np.roll(u, -1) - 2.0 * u)
    return u @ u


def filtered(p, y):
    """A Kalman filter of two states: an inverse, a determinant, a solution in each step."""
    transition, seen = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.5, 1.0]])
    mean, cov, total = np.zeros(2), np.eye(2), 0.0
    for t in range(len(y)):
        mean, cov = transition @ mean, transition @ cov @ transition.T + p[0] ** 2 * np.eye(2)
        s = seen @ cov @ seen.T + p[1] ** 2 * np.eye(2)
        v = y[t] - seen @ mean
        gain = cov @ seen.T @ np.linalg.inv(s)
        mean, cov = mean + gain @ v, cov - gain @ seen @ cov
        total = total + np.log(np.linalg.det(s)) + v @ np.linalg.solve(s, v)
    return total


PROGRAMS = {
    "filtered": (
        lambda n: filtered,
        lambda rng, n: (np.array([0.8, 1.3]), rng.standard_normal((n, 2))),
    ),
    "rnn": (lambda n: rnn, rnn_operands),
    "heat": (
        lambda n: lambda p, u: heat(p, u, n),
        lambda rng, n: (np.float64(0.2) * np.ones(8), rng.standard_normal(8)),
    ),
    "logistic": (
        lambda n: lambda p, y: logistic(p, y, n),
        lambda rng, n: (rng.uniform(0.5, 1.0, 4), rng.uniform(0.1, 0.9, 4)),
    ),
    "runge_kutta": (
        lambda n: lambda p, y: runge_kutta(p, y, n),
        lambda rng, n: (np.array([1.1, 0.4, 0.1, 0.4]), np.array([2.0, 1.0])),
    ),
}
TRANSFORMS = {
    "value": lambda f, n: f,
    "gradient": lambda f, n: bp.grad(f, tuple(range(n))),
    "tangent": lambda f, n: lambda *xs: bp.jvp(f, xs, tuple([np.cos(x) for x in xs])),
}


@pytest.mark.parametrize("transform", ["value", "gradient", "tangent"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_size_does_not_depend_on_the_number_of_steps(name, transform, rng):
    program, operands = PROGRAMS[name]
    sizes = set()
    for n_steps in (12, 20) if name == "runge_kutta" else (16, 40):
        args = operands(rng, n_steps)
        f = TRANSFORMS[transform](program(n_steps), len(args))
        facts = compared(f, *args, exact=name != "rnn")
        assert "loop" in kinds(facts)
        sizes.add(len(facts))
    assert len(sizes) == 1, sizes


def test_a_long_loop_is_not_a_large_plan(rng):
    f = bp.grad(rnn, (0, 1, 2))
    sizes = set()
    for n_steps in (10, 100, 200):
        compiled = bp.compile(f)
        compiled(*rnn_operands(rng, n_steps))
        sizes.add(len(compiled.entries[0].plan.facts))
    assert len(sizes) == 1
    assert max(sizes) <= 30
    assert "loop" in compiled.explain()


def test_instructions_of_a_recurrence(rng):
    w, xs = rng.standard_normal((4, 4)) / 4.0, rng.standard_normal((30, 4))

    def f(w, xs):
        h = np.zeros(4)
        for x in xs:
            h = np.tanh(w @ h + x)
        return h

    facts = compared(f, w, xs)
    assert kinds(facts).count("loop") == 1
    (k,) = [k for k, fact in enumerate(facts) if fact[0] == "loop"]
    assert [kind for kind, *_ in facts[k + 1 : k + 3]] == ["  product", "  region"]


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_states_of_earlier_steps(lag, rng):
    w = rng.standard_normal((3, 3)) / 3.0

    def f(w, h):
        states = [h * k for k in range(1, lag + 1)]
        for _ in range(20):
            states.append(np.tanh(w @ states[-1] + 0.5 * states[-lag]))
        return np.sum(states[-1] ** 2) + np.sum(states[7])

    for g in (f, bp.grad(f, (0, 1))):
        assert "loop" in kinds(compared(g, w, rng.standard_normal(3)))


def test_all_states_are_returned(rng):
    def f(w, h):
        states = []
        for _ in range(12):
            h = np.tanh(w @ h)
            states.append(h)
        return states, bnp.stack(states)

    assert "loop" in kinds(compared(f, rng.standard_normal((3, 3)), rng.standard_normal(3)))


def test_steps_that_differ_are_no_step_of_the_loop(rng):
    def f(w, h):
        for k in range(24):
            h = np.tanh(w @ h)
            if k == 11:
                h = np.sin(h) + h
            if k % 6 == 5:
                h = 0.5 * h
        return h @ h

    for g in (f, bp.grad(f, (0, 1))):
        compared(g, rng.standard_normal((3, 3)), rng.standard_normal(3))


def test_numbers_and_constants_of_steps(rng):
    def f(w, h):
        for k in range(15):
            h = np.tanh(w @ h * (0.1 * k) + np.linspace(0.0, k, 3))
        return h

    assert "loop" in kinds(compared(f, rng.standard_normal((3, 3)), rng.standard_normal(3)))


def test_arrays_that_are_filled(rng):
    def f(x, w):
        out = bnp.zeros((14, 3))
        h = x
        for k in range(14):
            h = np.tanh(w @ h) + (out[k - 1] if k else 0.0)
            out[k] = h
        return np.sum(out * out), out[::2]

    compared(f, rng.standard_normal(3), rng.standard_normal((3, 3)))
    g = lambda x, w: f(x, w)[0]
    compared(bp.grad(g, (0, 1)), rng.standard_normal(3), rng.standard_normal((3, 3)))


def test_writes_that_come_back(rng):
    def f(x, w):
        y = x * 1.0
        for k in range(17):
            y[k % 3] = np.sum(w @ y) * 0.1
        return y

    compared(f, rng.standard_normal(3), rng.standard_normal((3, 3)))


def test_inner_loops(rng):
    def f(w, h):
        for _ in range(6):
            for _ in range(8):
                h = np.tanh(w @ h)
            h = h / (1.0 + np.sum(h * h))
        return h

    assert "loop" in kinds(compared(f, rng.standard_normal((3, 3)), rng.standard_normal(3)))


def test_calls_of_functions_without_a_kernel(rng):
    def f(w, h):
        for _ in range(12):
            h = np.cumsum(np.tanh(w @ h)) / 3.0
        return h

    assert "loop" in kinds(compared(f, rng.standard_normal((3, 3)), rng.standard_normal(3)))


def test_jacobians_along_a_loop(rng):
    w, xs = rng.standard_normal((4, 4)) / 4.0, rng.standard_normal((20, 4))

    def last(h):
        for x in xs:
            h = np.tanh(w @ h + x)
        return h

    facts = compared(bp.jacobian(last), rng.standard_normal(4), exact=False)
    assert "loop" in kinds(facts)


@pytest.mark.parametrize("n_steps", [14, 16, 21])
def test_what_is_made_early_is_not_written_over(n_steps):
    """Two of three delays begin before the loop, in another order than in its iterations."""

    def last(x):
        h = [x * 0.1, x, np.sin(x)]
        for _ in range(n_steps):
            a = np.linalg.solve(np.eye(1) + 0.3 * np.outer(h[-3], h[-3]), h[-2])
            b = np.linalg.solve(np.eye(1) + 0.3 * np.outer(h[-3], h[-3]), h[-1])
            h.append(np.tanh(np.linalg.solve(np.eye(1) + 0.3 * np.outer(b, b), a) + 0.1 * h[-3]))
        return h[-1]

    facts = compared(lambda x: bp.jvp(last, (x,), (x,)), np.array([0.7]))
    assert "loop" in kinds(facts)


def random_program(rng):
    """Return the source of a loop with a random body, its length, and the size of its state."""
    n_steps, n = int(rng.integers(5, 30)), int(rng.choice([1, 2, 3, 17]))
    known = ["h[-1]", "h[-2]", "h[-3]"]
    body = []
    for k in range(int(rng.integers(1, 7))):
        a, b = (known[rng.integers(len(known))] for _ in range(2))
        choices = [
            f"np.tanh({a})", f"{a} * {b}", f"{a} + {b} * 0.3", f"w @ {a}", f"{a} @ w * 0.2",
            f"xs[t] * {a}", f"{a} + xs[t]", f"{a} * (0.1 * t)", f"np.sin({a}) + x",
            f"np.sum({a}) * {b}", f"{a} - xs[{n_steps} - 1 - t]", f"{a}[::-1] * 0.5",
            f"np.where({a} > 0, {a}, {b} * 0.1)", f"{a} / (1.0 + {b} ** 2)",
            f"np.cumsum({a}) * 0.1", f"bnp.concatenate([{a}[1:], {b}[:1]])",
            f"np.outer({a}, {b}) @ {a} * 0.1", f"xs[t, 0] * {a}", f"xs[max(t - 1, 0)] + {a}",
            f"np.linalg.solve(np.eye({n}) + 0.3 * np.outer({b}, {b}), {a})",
            f"{a} - np.max({b})", f"{a} * np.min(np.abs({b})) * 0.5",
        ]  # fmt: skip
        body.append(f"v{k} = {choices[rng.integers(len(choices))]}")
        known.append(f"v{k}")
    if rng.random() < 0.15:
        body.append(f"if t % {rng.integers(2, 4)} == 0: {known[-1]} = {known[-1]} * 0.5")
    if rng.random() < 0.15:
        body.append(f"if t == {rng.integers(n_steps)}: {known[-1]} = np.cos({known[-1]})")
    body.append(f"h.append(np.tanh({known[-1]} + 0.1 * {known[rng.integers(len(known))]}))")
    before, last, result = [
        ("pass", "pass", "np.sum(h[-1] ** 2)"),
        (f"out = bnp.zeros(({n_steps}, {n}))", "out[t] = h[-1]", "np.sum(out ** 2)"),
        ("s = 0.0", "s = s + np.sum(h[-1] ** 2)", "s"),
        ("pass", "pass", "np.sum(bnp.stack(h) ** 2)"),
        ("y = bnp.ones(4) * x[0]", "y[t % 4] = h[-1][0]", "np.sum(y) * np.sum(h[-1])"),
    ][rng.integers(5)]
    lines = ["h = [x * 0.1, x, np.sin(x)]", before, f"for t in range({n_steps}):"]
    lines += ["    " + line for line in [*body, last]]
    source = "def f(x, w, xs):\n    " + "\n    ".join([*lines, f"return {result}, h"])
    return source, n_steps, n


@pytest.mark.parametrize("seed", range(40))
def test_random_loops(seed):
    rng = np.random.default_rng(seed)
    source, n_steps, n = random_program(rng)
    names = {"np": np, "bnp": bnp, "__name__": "programs"}
    exec(source, names)
    f = names["f"]
    first = lambda *xs: f(*xs)[0]
    g = [
        first,
        lambda *xs: f(*xs)[1],
        bp.grad(first, (0, 1, 2)),
        bp.jacobian(lambda *xs: f(*xs)[1][-1]),
        lambda *xs: bp.jvp(first, xs, xs),
    ][seed % 5]
    scale = n**-0.5
    compared(
        g,
        rng.standard_normal(n),
        scale * rng.standard_normal((n, n)),
        rng.standard_normal((n_steps, n)),
    )


@pytest.mark.parametrize("n_steps", [4, 6, 7, 12])
@pytest.mark.parametrize(
    "picked",
    [
        lambda h: np.roll(h, 1),
        lambda h: h[[2, 0, 1]],
        lambda h: np.pad(h, (1, 1))[:3],
        lambda h: np.roll(h[::-1], 2),
    ],
)
def test_elements_are_picked_of_what_an_iteration_makes(picked, n_steps):
    def energies(x):
        h, total = 1.0 * x, 0.0
        for _ in range(n_steps):
            e = np.sum((picked(h) - h) ** 2)
            h = h / (1 + 0.1 * e)
            total = total + e
        return total

    def mixed(x):
        h, c = 1.0 * x, x[0]
        for _ in range(n_steps):
            c = np.sin(np.sum(c * picked(h) ** 2))
            h = np.tanh(c + h)
        return np.sum(h)

    x = np.array([0.7, -0.4, 1.2])
    for f in (energies, mixed):
        compared(f, x)
        compared(bp.grad(f), x)
        compared(lambda x, f=f: bp.jvp(bp.grad(f), (x,), (x,))[1], x)


def test_rows_of_an_argument_are_picked_from_in_a_loop(rng):
    def f(xs):
        h = xs[0]
        for x in xs[1:]:
            h = np.tanh(np.roll(x, 1) - h[[1, 0, 2]])
        return np.sum(h**2)

    xs = rng.standard_normal((12, 3))
    assert "loop" in kinds(compared(f, xs))
    compared(bp.grad(f), xs)
