"""Random programs of scans and work on their stacks: a plan computes the same."""

import os

import numpy as np
import pytest

import fastbp as bp
from fastbp.compiling import hoisting, sinking
from fastbp.compiling.passes import PASSES

from .test_random_loops import compared, derivatives

pytestmark = pytest.mark.filterwarnings("ignore")  # overflow, and what does not depend on x

N, STEPS = 5, 6
_STACKS = (
    "{a} * 2.0", "{a} * {b}", "{a} - x", "{a} + {b}", "{a} * {a}", "-{a}", "np.square({a}) * x",
    "np.sin({a})", "{a}[::-1] * {b}", "{a} * w[0]", "{a} * x[0] - {b}", "{a} @ w", "0.5 * {a}",
    "np.concatenate([{a}[1:], {b}[:1]]) * {a}", "{a} * np.sum({b})", "{a} * {b}[:, :1]",
    "np.where({a} > {b}, {a}, 2.0 * {b})", "{a} * xs[0] + x",
)  # fmt: skip
_STEPS = (
    "{a} * {b}", "{a} + {b}", "np.tanh({a})", "np.tanh({a} + {b})", "w @ {a}", "{a} - 0.5 * {b}",
    "{a} * np.sum({b})", "{a}[::-1]", "np.sin({a}) * {b}", "{a} * {a}", "{a} * x", "{a}[0] * {b}",
    "np.exp(-{a} * {a}) * {b}", "np.where({a} > 0.0, {a}, {b})", "2.0 * {a}",
)  # fmt: skip


def program(rng):
    """Return the source of a function ``f(x, w, xs)`` that returns a number and a vector."""
    lines, stacks = [], ["xs"]

    def drawn(templates, names, recent):
        words = {name: str(rng.choice(names[-recent:])) for name in "ab"}
        return str(rng.choice(templates)).format(**words)

    def work(count):
        for _ in range(count):
            lines.append(f"z{len(lines)} = {drawn(_STACKS, stacks, 4)}")
            stacks.append(lines[-1].split(" ")[0])

    for k in range(int(rng.integers(1, 4))):
        work(int(rng.integers(0, 4)))
        read = [str(s) for s in rng.choice(stacks[-4:], size=2)]
        lines.append(f"def step{k}(h, ys):")
        lines.append("    y, z = ys")
        values = ["h", "y", "z", "h"]
        for j in range(int(rng.integers(1, 5))):
            lines.append(f"    v{j} = {drawn(_STEPS, values, 4)}")
            values.append(f"v{j}")
        last = values[-1]
        kept = [str(v) for v in rng.choice(["h", *values[3:]], size=2)]
        lines.append(f"    return np.tanh({last} + 0.5 * h), ({kept[0]}, {kept[1]})")
        keywords = ["", ", reverse=True", ", checkpoint=2"][int(rng.integers(3))]
        lines.append(f"h{k}, (p{k}, q{k}) = bp.scan(step{k}, x, ({read[0]}, {read[1]}){keywords})")
        stacks += [f"p{k}", f"q{k}"]
    work(int(rng.integers(0, 4)))
    ends = [str(s) for s in rng.choice(stacks[-4:], size=3)]
    lines.append(f"v = h{k} * np.sum({ends[0]}, axis=0) + {ends[1]}[{rng.integers(STEPS)}]")
    lines.append(f"return np.sum(np.sin({ends[2]})) + np.sum({ends[1]} ** 2) + np.sum(v), v")
    return "def f(x, w, xs):\n    " + "\n    ".join(lines)


def made(source):
    """Return the function of a source."""
    names = {"np": np, "bp": bp}
    exec(source, names)
    return names["f"]


@pytest.mark.parametrize("seed", range(60))
def test_plans_of_random_scans(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    source = program(rng)
    monkeypatch.setattr(sinking, "_LARGE", 0)
    monkeypatch.setattr(sinking, "_ELEMENTS", 1)
    monkeypatch.setattr(hoisting, "_ELEMENTS", 1)
    passes = sorted(PASSES)
    if seed % 3 == 2:
        monkeypatch.setenv("FASTBP_PASSES", f"-{passes[seed // 3 % len(passes)]}")
    args = tuple(0.5 * rng.standard_normal(s) for s in ((N,), (N, N), (STEPS, N)))
    for name, g in derivatives(made(source)).items():
        compared(g, args, (name, os.environ.get("FASTBP_PASSES"), source))
