"""Times of instructions: each has one, and the results of the function stay as they are."""

import numpy as np
import pytest

import fastbp as bp


def test_profile():
    f = bp.compile(bp.grad(lambda w, x: np.sum(np.tanh(x @ w) ** 2)))
    w, x = np.ones((30, 20)), np.ones((40, 30))
    want = f(w, x)
    profile = f.profile(w, x)
    assert [row.kind for row in profile.rows] == ["product", "region", "product"]
    assert [row.shapes[0] for row in profile.rows] == [(40, 20), (40, 20), (30, 20)]
    assert all(row.seconds >= 0.0 for row in profile.rows)
    assert sum(row.share for row in profile.rows) == pytest.approx(1.0)
    assert profile.call > 0.0
    lines = str(profile).splitlines()
    assert lines[0].startswith("a call: ")
    assert lines[2].endswith("product  (40, 20) (40, 30) @ (30, 20)")
    np.testing.assert_array_equal(f(w, x), want)
    # Other arguments are recorded first; recorded values have no plan.
    assert f.profile(np.ones((3, 2)), np.ones((4, 3))).rows[0].shapes == [(4, 2)]
    with pytest.raises(TypeError, match="profile: the arguments must be plain arrays"):
        f.profile(bp.variable(w), x)


def test_calls_loops_and_loaded_plans(tmp_path):
    def total(x):
        return np.sum(bp.scan(lambda h, u: (np.tanh(h + u), h), x, np.ones((50, 3)))[0])

    f = bp.compile(lambda x: (np.sort(x), bp.grad(total)(x)))
    f(np.arange(3.0))
    kinds = [row.kind for row in f.profile(np.arange(3.0)).rows]
    assert kinds.count("loop") == 2
    assert "call" in kinds
    f.save(tmp_path / "f.plan")
    loaded = bp.load(tmp_path / "f.plan")
    assert [row.kind for row in loaded.profile(np.arange(3.0)).rows] == kinds
