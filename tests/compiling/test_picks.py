"""Elements picked by tables: picks of picks, parts of what is picked, rows copied as one."""

import numpy as np
import pytest

import fastbp as bp
from fastbp.compiling import picking


def kinds(f):
    """Return the kinds of instructions of a plan, those of loops too."""
    return [line.split()[0] for line in f.explain().splitlines()[1:] if line]


def assert_same_bits(f, *args):
    """Compile a function, and return it, once its values are those of the function itself."""
    compiled = bp.compile(f)
    compiled(*args)
    found, want = compiled(*args), bp.unmodified(f)(*args)
    assert found.tobytes() == np.asarray(want).tobytes()
    assert found.shape == want.shape
    return compiled


def stencil(u):
    e = np.pad(u, 1, mode="edge")
    return e[:-2, 1:-1] + e[2:, 1:-1] + e[1:-1, :-2] + e[1:-1, 2:] - 4 * u


def test_what_is_cut_of_padded_arrays_is_picked_at_once(rng):
    u = rng.standard_normal((12, 14))
    compiled = assert_same_bits(stencil, u)
    assert kinds(compiled) == ["pick"] * 4 + ["region"]


def test_small_parts_stay_views(rng):
    u = rng.standard_normal((12, 14))
    compiled = assert_same_bits(lambda u: np.pad(u, 1, mode="edge")[:, 3] * 2.0, u)
    assert kinds(compiled).count("pick") == 1


def test_without_folding_each_is_picked(rng, monkeypatch):
    monkeypatch.setenv("FASTBP_PASSES", "-folding")
    compiled = assert_same_bits(stencil, rng.standard_normal((12, 14)))
    assert kinds(compiled).count("pick") == 2  # one for each axis that is padded


@pytest.fixture
def picked_everywhere(monkeypatch):
    """Let work on a few elements pick itself, too."""
    monkeypatch.setattr(picking, "_FEWEST", 1)


def test_work_on_many_elements_picks_them_itself(rng, monkeypatch):
    u = rng.standard_normal((40, 30))
    compiled = assert_same_bits(stencil, u)
    assert kinds(compiled) == ["region"]
    assert compiled.explain().count("picked") == 4
    monkeypatch.setenv("FASTBP_PASSES", "-picking")
    assert kinds(assert_same_bits(stencil, u)) == ["pick"] * 4 + ["region"]


def test_neighbours_are_one_region_in_whichever_order_they_are_read(rng):
    def f(u):
        total = np.roll(u, 1, 0) - 4.0 * u
        return total + np.roll(u, -1, 0) + np.sqrt(np.roll(u, 1, 1)) * np.roll(u, -1, 1)

    compiled = assert_same_bits(f, rng.random((30, 30)))
    assert kinds(compiled) == ["region"]
    small = assert_same_bits(f, rng.random((5, 6)))
    assert kinds(small) == ["pick"] * 4 + ["region"]


@pytest.mark.parametrize(
    "kept",
    [
        lambda e: (e[:-2, 1:-1] * 2.0, e[:-2, 1:-1]),  # a result, too
        lambda e: (np.sin(e[:-2, 1:-1]), np.cos(e[:-2, 1:-1]) @ e[:-2, 1:-1]),
        lambda e: (np.sum(e[:-2, 1:-1] ** 2, axis=0),),
        lambda e: (e[:-2, 1:-1] * np.arange(24.0),),  # broadcast
    ],
)
def test_what_others_read_is_in_memory(kept, rng):
    def f(u):
        return np.concatenate([np.ravel(x) for x in kept(np.pad(u, 1, mode="edge"))])

    u = rng.standard_normal((24, 24))
    compiled = bp.compile(f)
    np.testing.assert_allclose(compiled(u), bp.unmodified(f)(u), rtol=1e-12, atol=1e-13)
    assert "pick" in kinds(compiled)
    assert "picked" not in compiled.explain()


def step_anew(u, source):
    return u + 0.1 * stencil(u) + source


def step_in_place(u, source):
    u += 0.1 * stencil(u)
    u[1:] += source[1:]
    return u


def step_rolled(u, source):
    u[1] += np.roll(u, 2)[0]
    return 0.2 * u - 0.1 * np.roll(u, 1, 1) * source + np.roll(np.sin(u), -1, 0) + np.roll(u, 3)


def step_twice(u, source):
    v = u + 0.1 * stencil(u)
    return v + 0.1 * stencil(v) * source - u[::-1]


@pytest.mark.parametrize("fewest", [1, 512])
@pytest.mark.parametrize("step", [step_anew, step_in_place, step_rolled, step_twice])
def test_picks_of_what_is_written_over(step, fewest, rng, monkeypatch):
    """Elements are picked while the work runs: nothing may lie there that it writes."""
    monkeypatch.setattr(picking, "_FEWEST", fewest)

    def f(u, source):
        for _ in range(7):
            u = step(u, source)
        return u

    def scanned(u, source):
        stepped = lambda u, _: (step_anew(u, source), np.sin(u[0]))
        last, rows = bp.scan(stepped, u, None, length=7)
        return np.concatenate([last, rows])

    for function in (f, scanned):
        for g in (
            function,
            bp.grad(lambda u, s, function=function: np.sum(function(u, s) ** 2), (0, 1)),
            lambda u, s, function=function: bp.jvp(function, (u, s), (s, u))[1],
        ):
            args = rng.standard_normal((2, 30, 20))
            found = {}
            for passes in ("", "-picking"):
                monkeypatch.setenv("FASTBP_PASSES", passes)
                compiled = bp.compile(g)
                compiled(*args.copy())
                found[passes] = np.concatenate([np.ravel(x) for x in compiled(*args.copy())])
            assert found[""].tobytes() == found["-picking"].tobytes()
            want = np.concatenate([np.ravel(x) for x in bp.unmodified(g)(*args.copy())])
            np.testing.assert_allclose(found[""], want, rtol=1e-11, atol=1e-11)


def test_plans_that_pick_in_files(rng, tmp_path):
    u = rng.standard_normal((40, 30))
    compiled = bp.compile(stencil)
    want = compiled(u)
    compiled.save(tmp_path / "stencil.plan")
    assert bp.load(tmp_path / "stencil.plan")(u).tobytes() == want.tobytes()


@pytest.mark.usefixtures("picked_everywhere")
@pytest.mark.parametrize("dtype", [np.float64, np.complex64])
def test_any_picks_inside_of_work(dtype, rng):
    any_picks(dtype, rng)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.complex64])
def test_any_picks(dtype, rng):
    any_picks(dtype, rng)


def any_picks(dtype, rng):
    """Compare random chains of what moves elements, and of work on them."""
    for _ in range(12):
        shape = tuple(rng.integers(2, 12, 2))
        moves = rng.integers(0, 7, 5)
        pads = [tuple(map(tuple, rng.integers(0, 4, (2, 2)))) for _ in moves]
        order = rng.permutation(64)

        def f(u, moves=tuple(moves), pads=tuple(pads), order=order):
            total = np.sum(u) * np.ones(3)[:1]
            for move, pad in zip(moves, pads, strict=True):
                if move == 0:
                    u = np.pad(u, pad, mode="edge")
                elif move == 1:
                    u = np.pad(u, pad)  # zeros
                elif move == 2:
                    u = np.roll(u, pad[0], (0, 1))
                elif move == 3:
                    u = u[1:, :-1] if min(u.shape) > 2 else u.T
                elif move == 4:
                    u = u[:, np.argsort(order[: u.shape[1]])]
                elif move == 5:
                    u = u[::-1, ::2] * 2.0
                else:
                    u = u.T - u.T[::-1]
                total = total + u.ravel()[:1]
            return u + total

        u = rng.standard_normal(shape)
        if np.dtype(dtype).kind == "c":
            u = u + 1j * rng.standard_normal(shape)
        compiled = bp.compile(f)
        compiled(u.astype(dtype))
        found, want = compiled(u.astype(dtype)), bp.unmodified(f)(u.astype(dtype))
        np.testing.assert_allclose(found, want, rtol=1e-4 if found.itemsize < 9 else 1e-12)

        def moved(u, f=f):
            return f(u) - f(u * 0.0)

        assert_same_bits(moved, u.astype(dtype))


@pytest.mark.parametrize("steps", [5, 10])
def test_steps_in_steps_are_rolled_where_the_outer_ones_cannot_be(steps, rng):
    """What is read at indices every few steps hides the steps between."""

    def f(p, at):
        u = np.zeros((6, 6))
        readings = []
        for k in range(1, 6 * steps + 1):
            u = u + 0.1 * stencil(u) + p
            if k % steps == 0:
                readings.append(u[at, at])
        return np.concatenate(readings)

    p, at = rng.standard_normal((6, 6)), rng.integers(-6, 6, 3)
    compiled = assert_same_bits(f, p, at)
    assert "loop" in kinds(compiled)
    assert len(kinds(compiled)) < 20 * 6


def test_differences_for_sums_with_what_is_multiplied_by_minus_one(rng):
    def f(x, y):
        return x + y * -1.0 + (x * -1.0 + y) * (y * -1.0)

    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-310, 1.5])
    x, y = (z.ravel() for z in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        for dtype in (np.float64, np.float32):
            compiled = assert_same_bits(f, x.astype(dtype), y.astype(dtype))
    assert "subtract" in compiled.explain()
