"""Copies that are made early or not at all, work in the place that it reads, small work first."""

import itertools

import numpy as np
import pytest

import fastbp as bp

from .test_random_passes import REORDERING, only

pytestmark = [
    pytest.mark.usefixtures("all_passes"),
    pytest.mark.filterwarnings("ignore::fastbp.errors.UnconnectedWarning"),
]


def facts_of(compiled):
    """Return the kinds of instructions, and the lines of those in loops."""
    facts = compiled.entries[-1].plan.facts
    inside = [(kind.strip(), what) for kind, _, what in facts if kind.startswith("  ")]
    return [kind.strip() for kind, *_ in facts], inside


def assert_same_bits(f, *args, transform=lambda f: f):
    """Compile a function, and return it: its values are those without passes that keep bits."""
    compiled, bare = bp.compile(transform(f)), bp.compile(transform(f))
    compiled(*args)
    with only(REORDERING):
        bare(*args)
    eager = transform(bp.unmodified(f))
    for scale in (1.0, -0.5):
        given = [scale * x for x in args]
        found, want = compiled(*given), bare(*given)
        np.testing.assert_array_equal(found, want)
        np.testing.assert_allclose(found, eager(*given), rtol=1e-12, atol=1e-12)
    return compiled


def rod(k, n_steps, every):
    """Diffuse along a rod, in place; what is stored is every few steps."""
    u = np.zeros(8)
    u[0] = 1.0
    history = np.zeros((n_steps // every, 8))
    for n in range(n_steps):
        flux = k * (u[1:] - u[:-1])
        u[1:-1] += 0.1 * (flux[1:] - flux[:-1])
        if n % every == every - 1:
            history[n // every] = u
    return history


def test_what_is_stored_is_copied_when_it_is_made(monkeypatch):
    k = np.linspace(0.5, 1.5, 7)
    sizes = []
    for n_steps in (60, 240):
        compiled = assert_same_bits(lambda k, n=n_steps: rod(k, n, 3), k, transform=bp.jacobian)
        _, inside = facts_of(compiled)
        assert [kind for kind, _ in inside].count("copy") == 1  # into the history
        work = compiled.entries[-1].plan.machine.work_bytes
        sizes.append(work - 7 * 8 * 8 * n_steps // 3)
    assert sizes[1] - sizes[0] < 64 * 60  # states are not kept
    monkeypatch.setenv("FASTBP_PASSES", "-placing")
    compiled = assert_same_bits(lambda k: rod(k, 240, 3), k, transform=bp.jacobian)
    assert compiled.entries[-1].plan.machine.work_bytes - 7 * 8 * 8 * 80 > 10 * sizes[1]


def test_what_is_written_into_is_not_copied_before(monkeypatch):
    def f(u, k):
        for _ in range(9):
            u = u.copy()
            u[1:-1] = u[1:-1] + k * (u[:-2] - u[1:-1])
        return u

    args = np.linspace(-1.0, 2.0, 8), np.linspace(0.1, 0.2, 6)
    _, inside = facts_of(assert_same_bits(f, *args))
    assert [kind for kind, _ in inside].count("copy") <= 1
    monkeypatch.setenv("FASTBP_PASSES", "-inplace")
    _, inside = facts_of(assert_same_bits(f, *args))
    assert [kind for kind, _ in inside].count("copy") >= 2


def test_work_is_done_in_the_place_that_it_reads():
    def f(u, k):
        for _ in range(9):
            flux = u[1:] - u[:-1] ** 2
            u[1:-1] += k * np.sin(flux[1:] - flux[:-1])
        return u * 1.0

    compiled = assert_same_bits(f, np.linspace(-1.0, 2.0, 8), np.linspace(0.1, 0.2, 6))
    _, inside = facts_of(compiled)
    assert {kind for kind, _ in inside} == {"region"}


def test_neighbours_are_read_before_they_are_written_over():
    def f(u):
        for _ in range(9):
            u[1:] = u[1:] - 0.5 * u[:-1]
        return u * 1.0

    def g(u):
        for _ in range(9):
            u[:-1] = 0.5 * u[1:] * u[:-1]
            u[::-1][1:] += 0.25 * u[1:]
        return u * 1.0

    for function in (f, g):
        for n in (3, 17, 700):
            assert_same_bits(function, np.linspace(-1.0, 2.0, n))


def test_an_older_state_that_is_read_later_is_kept():
    def f(u):
        old = u
        for n in range(12):
            before = u.copy()
            u[1:-1] += 0.1 * (u[2:] - 2.0 * u[1:-1] + u[:-2])
            if n % 4 == 1:
                old = before
            u[0] = old[1] + before[2]
        return u + old

    assert_same_bits(f, np.linspace(-1.0, 2.0, 9))


def test_columns_are_computed_where_they_belong():
    def f(p, y):
        for _ in range(9):
            y = y + 0.1 * np.array([p[0] * y[0] - y[0] * y[1], y[0] * y[1] - p[1] * y[1]])
        return y

    compiled = assert_same_bits(
        f, np.array([0.5, 0.25]), np.array([1.0, 2.0]), transform=bp.jacobian
    )
    _, inside = facts_of(compiled)
    assert [kind for kind, _ in inside].count("copy") == 0


def test_numbers_are_computed_before_vectors(monkeypatch):
    def f(p, y):
        for _ in range(9):
            v = p * y[0]
            v = v + y * (y[0] * y[1])
            y = np.sin(v + p * (y[1] * y[2]) - y * (y[0] * y[2]))
        return y

    _, inside = facts_of(assert_same_bits(f, np.linspace(0.1, 0.4, 3), np.linspace(0.5, 1.0, 3)))
    assert len(inside) == 2  # numbers, and a vector


@pytest.mark.parametrize("seed", range(25))
def test_random_writes(seed):
    """Random writes into arrays in loops, whose older states are read, returned, stored."""
    rng = np.random.default_rng(seed)
    places = ["1:-1", "1:", ":-1", "0", "::2", "2:5", ":", "[0, 3, 1]"]
    lines = ["u, v = 1.0 * x, y + 0.0 * x", "kept = x", "store = np.zeros((12, 6))"]
    lines.append("for n in range(12):")
    for k in range(int(rng.integers(2, 6))):
        to, of = (str(rng.choice(["u", "v"])) for _ in range(2))
        at = str(rng.choice(places))
        other = str(rng.choice(["kept", "u", "v", "x", "np.roll(u, 1)"]))
        what = [
            f"{to}[{at}] += 0.1 * np.sin({of}[{at}])",
            f"{to}[{at}] = 0.5 * {of}[{at}] - 0.1 * {other}[{at}]",
            f"{to}[1:] = {to}[1:] - 0.3 * {of}[:-1]",
            f"{to} = {of} * 0.9 + {other} * 0.1",
            f"{to} = {of}.copy()",
            f"kept = {of}.copy()",
            f"kept = {of}",
            f"store[n] = {of}",
            f"store[n, {at}] = {other}[{at}]",
            f"{to}[{at}] *= 0.9",
        ]
        line = str(rng.choice(what))
        if rng.random() < 0.25:
            line = f"if n % 3 == {k % 3}: {line}"
        lines.append("    " + line)
    lines.append("return np.concatenate([u * v, kept, store.ravel()])")
    names = {"np": np}
    exec("def f(x, y):\n    " + "\n    ".join(lines), names)
    f = names["f"]
    x, y = rng.standard_normal((2, 6))
    for transform in (lambda f: f, bp.jacobian):
        assert_same_bits(f, x, y, transform=transform)


def test_passes_alone():
    k = np.linspace(0.5, 1.5, 7)
    f = bp.jacobian(lambda k: rod(k, 24, 2))
    found = []
    names = ("placing", "inplace", "rolling", "fusion", "reuse")
    for passes in itertools.product((False, True), repeat=len(names)):
        compiled = bp.compile(f)
        with only(itertools.compress(names, passes)):
            compiled(k)
        found.append(compiled(k))
    for x in found[1:]:
        np.testing.assert_array_equal(x, found[0])
