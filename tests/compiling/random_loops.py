"""Random programs of slices, equal operands, reductions and loops: the source, and arguments."""

import numpy as np

N = 5  # elements of a vector

_VECTORS = (
    "np.roll({a}, {k})", "{a}[::-1]", "{a}[[1, 0, 3, 4, 2]]", "{a} * {a}", "{a} * {b}",
    "{a} + {b}", "{a} - {b}", "np.tanh({a})", "np.sin({a})", "{s} * {a}",
    "{a} / (1.0 + {s} ** 2)", "{a} + {s}", "np.concatenate([{a}[1:], {b}[:1]])",
    "np.pad({a}[:-1] * {b}[1:], (1, 0))", "w @ {a}", "{a} @ w", "np.cumsum({a}) * 0.3",
    "np.where({a} > {b}, {a}, 0.5 * {b})", "np.outer({a}, {b})[{i}]",
    "np.outer({a}, {b})[1:4, 2] @ w[1:4]", "xs[{t}]", "xs[{t}] * {a}", "xs[{t}][::-1] - {a}",
    "np.repeat({a}[:1], 5)", "np.maximum({a}, {b})", "(w * {a})[:, {i}]", "np.exp(-{a} * {a})",
    "{a}[[{i}, {i}, 0, 1, 2]]", "w[{i}] * w[{i}]", "np.roll(w, 1, 0)[{i}] * {a}", "0.5 * {a}",
    "np.sort({a})", "1.0 * {a}", "np.sum(w[:, 1:] * w[:, :-1], axis=1)",
    "np.linalg.norm(w + {a}, axis=0)", "np.mean(w * {a}[:, None], axis=0)",
    "np.stack([{a}, {b}])[{j}]", "{a}.reshape(5, 1)[:, 0]", "xs[{t}] @ w",
    "{a} @ w + xs[{t}] @ w.T",
)  # fmt: skip
_NUMBERS = (
    "np.sum({a} * {b})", "np.sum(({a} - np.roll({a}, 1)) ** 2)", "{a} @ {b}", "{a}[{i}]",
    "{a}[{i}] * {a}[{i}]", "np.sum({a}[1:] * {a}[:-1])", "np.max({a})", "np.mean(np.sin({a}))",
    "np.cos({s})", "{s} * {s}", "0.3 * {s}", "{s} + {r}", "{s} * {r}", "xs[{t}, {i}]",
    "{a}[{i}] * {s}", "np.sum({a}[1:] - {a}[:-1] * {a}[:-1])",
    "np.sum({a}[[{i}, 0]] * {b}[[0, {i}]])", "np.prod({a}[:2])", "np.sum(w[1:, 1:] * w[1:, 1:])",
    "np.sum(w[{i}] * {a})", "np.sum(np.outer({a}, {a})[:2, 1:3] * {s})", "np.linalg.norm({a})",
    "np.sum(xs[{t}] * {a})", "np.trace(w * {s})", "np.ptp({a})", "({a} @ w) @ {a}",
)  # fmt: skip


def program(rng):
    """Return the source of a function ``f(x, w, xs)`` that returns a number and a vector."""
    vectors, numbers = ["x"], ["x[0]"]

    def drawn(time):
        words = {name: str(rng.choice(vectors[-4:])) for name in "ab"}
        words |= {name: str(rng.choice(numbers[-4:])) for name in "sr"}
        words |= {
            "i": int(rng.integers(N)),
            "j": int(rng.integers(2)),
            "k": int(rng.integers(1, 4)),
        }
        words["t"] = time
        made = _VECTORS if rng.random() < 0.6 else _NUMBERS
        return made is _VECTORS, str(rng.choice(made)).format(**words)

    lines = []

    def assigned(count, indent, time):
        for _ in range(count):
            is_vector, text = drawn(time)
            name = f"{'v' if is_vector else 's'}{len(lines)}"
            lines.append(f"{indent}{name} = {text}")
            (vectors if is_vector else numbers).append(name)

    assigned(int(rng.integers(0, 4)), "", "0")
    for loop in range(int(rng.integers(0, 3))):
        h, c = f"h{loop}", f"c{loop}"
        n_steps = int(rng.integers(5, 13))
        lines.append(f"{h}, {c}, total{loop} = 1.0 * {vectors[-1]}, {numbers[-1]}, 0.0")
        lines.append(f"for t in range({n_steps}):")
        outer = vectors[:], numbers[:]
        vectors.append(h)
        numbers.append(c)
        start = len(lines)
        assigned(int(rng.integers(1, 6)), "    ", str(rng.choice(["t", "11 - t", "t // 2", "0"])))
        last = [v for v in vectors if v not in outer[0]][-1]
        number = [s for s in numbers if s not in outer[1]][-1]
        assert len(lines) > start
        ends = [
            f"{h} = np.tanh({last})", f"{h} = {last} / (1.0 + {number} ** 2)",
            f"{h} = np.sin({last}) + 0.1 * {h}",
            f"{h}, {c} = np.tanh({last} + {c}), np.sin({number})", f"{c} = np.cos({number})",
            f"{c} = np.sin({number}) + 0.5 * {c}; {h} = np.tanh({h} + {c})",
        ]  # fmt: skip
        lines.append("    " + str(rng.choice(ends)))
        if rng.random() < 0.5:
            lines.append(f"    total{loop} = total{loop} + {number}")
        if rng.random() < 0.2:
            lines.append(f"    if t == {rng.integers(n_steps)}: {h} = 0.5 * {h}")
        vectors[:], numbers[:] = outer
        vectors += [h]
        numbers += [c, f"total{loop}"]
        assigned(int(rng.integers(0, 3)), "", "0")
    assigned(int(rng.integers(1, 4)), "", "0")
    chosen = [str(rng.choice(numbers)) for _ in range(2)]
    ends = [str(rng.choice(vectors)) for _ in range(2)]
    lines.append(f"v = np.sin({ends[0]}) * {ends[1]} + {chosen[0]}")
    lines.append(f"return np.sum(v) + np.sin({chosen[1]}), v")
    return "def f(x, w, xs):\n    " + "\n    ".join(lines)


def made(source):
    """Return the function of a source."""
    names = {"np": np}
    exec(source, names)
    return names["f"]


def arguments(rng):
    """Return arrays for a program."""
    return (
        rng.standard_normal(N),
        rng.standard_normal((N, N)) * 0.5,
        rng.standard_normal((12, N)),
    )
