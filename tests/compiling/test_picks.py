"""Elements picked by tables: picks of picks, parts of what is picked, rows copied as one."""

import numpy as np
import pytest

import fastbp as bp


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


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.complex128, np.complex64])
def test_any_picks(dtype, rng):
    """Random chains of what moves elements, and of work on them."""
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
