"""Compiled functions and gradients, against jitted JAX and eager ones of ours."""

from __future__ import annotations

import numpy as np

import fastbp as bp

from .checking import DTYPES, check_projection, compare, compare_with_exact, in_dtype
from .registry import Bench, Target, bench, faster


def two_scalars(np, p):
    """Multiply two numbers, and add a sine."""
    return p["a"] * p["b"] + np.sin(p["a"])


def rosenbrock(np, p):
    """Read neighbours of a vector."""
    x = p["x"]
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def functions(np, p):
    """Compose tanh, exp and sin of single elements."""
    x = p["x"]
    return np.sum(np.tanh(x) * np.exp(-x * x) + np.sin(x))


def perceptron(np, p):
    """Take one hidden layer of tanh."""
    h = np.tanh(p["x"] @ p["w1"] + p["b1"])
    return np.mean((h @ p["w2"] + p["b2"]) ** 2)


def unrolled(np, p):
    """Run a recurrent network of tanh as a loop of Python."""
    h = np.zeros_like(p["b"])
    for k in range(p["x"].shape[0]):
        h = np.tanh(p["w"] @ h + p["x"][k] + p["b"])
    return np.sum(h * h)


def looped(np, p):
    """Run a recurrent network on a batch as a loop of Python."""
    h = np.zeros_like(p["x"][0])
    for k in range(p["x"].shape[0]):
        h = np.tanh(h @ p["w"] + p["x"][k] @ p["u"] + p["b"])
    return np.sum(h * h)


def scanned(jnp, p):
    """Run the same network as JAX compiles it best."""
    import jax

    def step(h, x):
        return jnp.tanh(h @ p["w"] + x @ p["u"] + p["b"]), None

    h, _ = jax.lax.scan(step, jnp.zeros_like(p["x"][0]), p["x"])
    return jnp.sum(h * h)


PROGRAMS = {
    f.__name__: f for f in (two_scalars, rosenbrock, functions, perceptron, unrolled, looped)
}
# A program, its sizes, and how many times faster than JAX it should be on one thread.
CASES = {
    "two_scalars": ("two_scalars", (), 10.0),
    "rosenbrock 2": ("rosenbrock", (2,), 5.0),
    "rosenbrock 100": ("rosenbrock", (100,), 5.0),
    "rosenbrock 10^6": ("rosenbrock", (10**6,), 0.5),
    "functions 10^5": ("functions", (10**5,), 2.0),
    "functions 10^6": ("functions", (10**6,), 2.0),
    "perceptron 1 x 32": ("perceptron", (1, 32), 5.0),
    "perceptron 32 x 64": ("perceptron", (32, 64), 1.6),
    "perceptron 64 x 128": ("perceptron", (64, 128), 1.05),
    "perceptron 256 x 512": ("perceptron", (256, 512), 1.05),
    "unrolled 50 x 16": ("unrolled", (50, 16), 3.0),
    "looped 50 x 1 x 32": ("looped", (50, 1, 32), 1.0),
    "looped 100 x 16 x 64": ("looped", (100, 16, 64), 1.0),
    "looped 200 x 32 x 256": ("looped", (200, 32, 256), 1.0),
}


def operands(case: str) -> dict[str, np.ndarray]:
    """Return the arguments of a program."""
    name, sizes, _ = CASES[case]
    rng = np.random.default_rng(5)
    if name == "two_scalars":
        return {"a": np.float64(1.5), "b": np.float64(-0.5)}
    if name == "perceptron":
        batch, width = sizes
        scale = width**-0.5
        return {
            "x": rng.standard_normal((batch, width)),
            "w1": scale * rng.standard_normal((width, width)),
            "b1": rng.standard_normal(width),
            "w2": scale * rng.standard_normal((width, width)),
            "b2": rng.standard_normal(width),
        }
    if name == "unrolled":
        steps, units = sizes
        return {
            "w": 0.8 * units**-0.5 * rng.standard_normal((units, units)),
            "b": rng.standard_normal(units),
            "x": rng.standard_normal((steps, units)),
        }
    if name == "looped":
        units = sizes[-1]
        scale = units**-0.5
        return {
            "w": scale * rng.standard_normal((units, units)),
            "u": scale * rng.standard_normal((units, units)),
            "b": rng.standard_normal(units),
            "x": rng.standard_normal(sizes),
        }
    return {"x": rng.standard_normal(sizes)}


def jax_gradient(inputs, case, **_):
    import jax

    name = CASES[case][0]
    program = scanned if name == "looped" else PROGRAMS[name]
    gradient = jax.jit(jax.value_and_grad(lambda p: program(jax.numpy, p)))
    p = jax.device_put(dict(inputs))
    return lambda: jax.block_until_ready(gradient(p))


def jax_first(inputs, case, **_):
    import jax

    program = PROGRAMS[CASES[case][0]]
    p = jax.device_put(dict(inputs))

    def first():
        # A function that JAX has not seen: it compiles as in a new process.
        return jax.block_until_ready(
            jax.jit(jax.value_and_grad(lambda p: program(jax.numpy, p)))(p)
        )

    return first


class Compiled(Bench):
    """What the benchmarks of compiled functions share."""

    params = {"case": tuple(CASES), "dtype": DTYPES}
    quick = {"case": ("two_scalars", "rosenbrock 2", "perceptron 1 x 32")}
    rtol = 1e-8

    def setup(self, case, dtype):
        self.exact = operands(case)
        self.inputs = in_dtype(self.exact, dtype)
        program = PROGRAMS[CASES[case][0]]
        self.loss = lambda p: program(np, p)
        self.eager = bp.value_and_grad(self.loss)
        self.compiled = bp.compile(self.eager)

    def check(self):
        exact = self.eager(self.exact)
        keys = sorted(self.exact)
        error = check_projection(
            lambda *xs: self.loss(dict(zip(keys, xs, strict=True))),
            [self.exact[key] for key in keys],
            [exact[1][key] for key in keys],
            1e-5,
        )
        return max(error, compare_with_exact(self.run(), exact))


@bench("compile")
class CompiledGradient(Compiled):
    """A compiled value and gradient, called."""

    peers = {"jax": jax_gradient}

    def run(self):
        return self.compiled(self.inputs)

    def against(self):
        return {"eager": lambda: self.eager(self.inputs)}

    @classmethod
    def targets(cls, case, dtype) -> dict[str, Target]:
        return {"jax": faster(CASES[case][2], "one"), "eager": faster(1.0)}


@bench("compile")
class FirstCall(Compiled):
    """The first call of a compiled value and gradient: it is recorded and lowered."""

    params = {
        "case": ("two_scalars", "rosenbrock 2", "perceptron 32 x 64", "unrolled 50 x 16"),
        "dtype": ("float64",),
    }
    quick = {"case": ("rosenbrock 2",)}
    threaded = False
    peers = {"jax": jax_first}

    def run(self):
        return bp.compile(self.eager)(self.inputs)

    @classmethod
    def targets(cls, case, dtype) -> dict[str, Target]:
        return {"jax": faster(10.0)}


# ---- loops


def recurrent_loss(np, scan, p):
    """Run a recurrent network of tanh by scan."""

    def step(h, x):
        h = np.tanh(h @ p["w"] + x @ p["u"] + p["b"])
        return h, h

    return np.sum(scan(step, p["h"], p["x"])[1] ** 2)


def leaves_loss(np, scan, p):
    """Carry sixty numbers."""

    def step(carry, x):
        pairs = zip(carry, carry[1:] + carry[:1], strict=True)
        carry = tuple([np.sin(a) * 0.5 + b * x for a, b in pairs])
        return carry, carry[0]

    carry, ys = scan(step, tuple(p["init"]), p["x"])
    return sum(carry) + np.sum(ys)


def matrix_loss(np, scan, p):
    """Carry a matrix of 3 x 3."""

    def step(carry, x):
        carry = p["w"] @ carry * 0.5 + x
        return carry, carry[0, 0]

    carry, ys = scan(step, p["h"], p["x"])
    return np.sum(carry) + np.sum(ys)


SCANS = {f.__name__: f for f in (recurrent_loss, leaves_loss, matrix_loss)}
# A program, its sizes, how many times faster than JAX on one thread and than the fused cell.
LOOPS = {
    "rnn 50, 32, 1": ("recurrent_loss", (50, 32, 1), 1.0, 0.8),
    "rnn 100, 64, 16": ("recurrent_loss", (100, 64, 16), 1.0, 0.8),
    "rnn 200, 256, 32": ("recurrent_loss", (200, 256, 32), 1.0, 0.8),
    "60 numbers, 614": ("leaves_loss", (614,), 5.0, None),
    "3 x 3, 10000": ("matrix_loss", (10_000,), 5.0, None),
}


def loop_operands(case: str) -> dict[str, object]:
    """Return the arguments of a program with a loop."""
    name, sizes, *_ = LOOPS[case]
    rng = np.random.default_rng(5)
    if name == "leaves_loss":
        init = list(rng.standard_normal(60))
        return {"init": init, "x": rng.standard_normal(sizes)}
    if name == "matrix_loss":
        w = 0.5 * rng.standard_normal((3, 3))
        return {"w": w, "h": np.eye(3), "x": rng.standard_normal(sizes)}
    steps, n, batch = sizes
    return {
        "w": n**-0.5 * rng.standard_normal((n, n)),
        "u": n**-0.5 * rng.standard_normal((n, n)),
        "b": 0.1 * rng.standard_normal(n),
        "h": np.zeros((batch, n)),
        "x": rng.standard_normal((steps, batch, n)),
    }


def jax_loop(inputs, case, **_):
    import jax

    program = SCANS[LOOPS[case][0]]
    gradient = jax.jit(jax.value_and_grad(lambda p: program(jax.numpy, jax.lax.scan, p)))
    if "init" in inputs:  # an array on the way here
        inputs = {**inputs, "init": list(inputs["init"])}
    p = jax.device_put(dict(inputs))
    return lambda: jax.block_until_ready(gradient(p))


@bench("compile")
class Loops(Bench):
    """A compiled value and gradient of a scan, called."""

    params = {"case": tuple(LOOPS), "dtype": DTYPES}
    quick = {"case": ("rnn 50, 32, 1",)}
    rtol = 1e-8
    peers = {"jax": jax_loop}

    def setup(self, case, dtype):
        self.case, self.exact = case, loop_operands(case)
        self.inputs = in_dtype(self.exact, dtype)
        program = SCANS[LOOPS[case][0]]
        self.loss = lambda p: program(np, bp.scan, p)
        self.eager = bp.value_and_grad(self.loss)
        self.compiled = bp.compile(self.eager)
        self.fused = bp.value_and_grad(self.cell)

    def cell(self, p):
        """Compute the same by the fused cell."""
        hs, _ = bp.recurrent.rnn(p["x"], p["h"], W=p["w"], U=p["u"], b=p["b"])
        return np.sum(hs**2)

    def run(self):
        return self.compiled(self.inputs)

    def check(self):
        found = self.run()
        error = compare_with_exact(found, self.eager(self.exact))
        if LOOPS[self.case][3] is None:
            return error
        return max(error, compare(found, self.fused(self.inputs), 1e-8))

    def against(self):
        if LOOPS[self.case][3] is None:
            return {}
        return {"fused": lambda: self.fused(self.inputs)}

    @classmethod
    def targets(cls, case, dtype) -> dict[str, Target]:
        *_, jax, fused = LOOPS[case]
        if case.startswith("3 x 3") and dtype == "float32":  # asked of float64
            return {}
        found = {"jax": faster(jax, "one")}
        return found if fused is None else {**found, "fused": faster(fused)}


# ---- gradients of members


def member(np, p, x, y):
    """Take two hidden layers of tanh, of one member."""
    h = np.tanh(x @ p["w1"] + p["b1"])
    h = np.tanh(h @ p["w2"] + p["b2"])
    return np.sum((h @ p["w3"] - y) ** 2)


def _members(inputs):
    """Return weights, data and targets."""
    rest = dict(inputs)
    x, y = rest.pop("x"), rest.pop("y")
    return rest, x, y


def jax_members(inputs, **_):
    import jax

    gradient = jax.grad(lambda p, x, y: member(jax.numpy, p, x, y))
    mapped = jax.jit(jax.vmap(gradient, in_axes=(None, 0, 0)))
    args = jax.device_put(_members(inputs))
    return lambda: jax.block_until_ready(mapped(*args))


@bench("compile")
class Members(Bench):
    """Gradients of each member of a batch by vmap, as it is and compiled."""

    params = {"batch": (256,), "width": (64,), "way": ("eager", "compiled"), "dtype": DTYPES}
    quick = {"batch": (8,), "width": (16,)}
    rtol = 1e-8
    peers = {"jax": jax_members}

    def setup(self, batch, width, way, dtype):
        rng = np.random.default_rng(5)
        scale = width**-0.5
        self.exact = {
            "w1": scale * rng.standard_normal((width, width)),
            "b1": rng.standard_normal(width),
            "w2": scale * rng.standard_normal((width, width)),
            "b2": rng.standard_normal(width),
            "w3": scale * rng.standard_normal((width, 10)),
            "x": rng.standard_normal((batch, width)),
            "y": rng.standard_normal((batch, 10)),
        }
        self.inputs = in_dtype(self.exact, dtype)
        self.gradient = bp.grad(lambda p, x, y: member(np, p, x, y))
        mapped = bp.vmap(self.gradient, in_axes=(None, 0, 0))
        self.mapped = bp.compile(mapped) if way == "compiled" else mapped

    def run(self):
        return self.mapped(*_members(self.inputs))

    def loop(self, inputs=None):
        """Compute the same, one member after the other."""
        p, x, y = _members(self.inputs if inputs is None else inputs)
        found = [self.gradient(p, x[k], y[k]) for k in range(len(x))]
        return {key: np.stack([g[key] for g in found]) for key in p}

    def check(self):
        exact = self.loop(self.exact)
        error = compare_with_exact(self.run(), exact)
        p, x, y = _members(self.exact)
        keys = sorted(p)
        return max(
            error,
            check_projection(
                lambda *ws: sum(
                    member(np, dict(zip(keys, ws, strict=True)), x[k], y[k]) for k in range(len(x))
                ),
                [p[key] for key in keys],
                [exact[key].sum(axis=0) for key in keys],
                1e-5,
            ),
        )

    def against(self):
        return {"loop": self.loop}

    @classmethod
    def targets(cls, batch, width, way, dtype) -> dict[str, Target]:
        return {"jax": faster(1 / 1.5, "one"), "loop": faster(20.0)}


# Steps, units, and how many times faster than JAX's better mode it should be on one thread.
JACOBIANS = {"50 x 32": (50, 32, 1.8), "200 x 256": (200, 256, 1.0)}


def jax_last_state(inputs, case, **_):
    import jax

    def last(h, w, x):
        def step(h, x):
            return jax.numpy.tanh(w @ h + x), None

        return jax.lax.scan(step, h, x)[0]

    args = jax.device_put((inputs["h"], inputs["w"], inputs["x"]))
    steps, units, _ = JACOBIANS[case]
    jacobian = jax.jit((jax.jacrev if units < steps else jax.jacfwd)(last))
    return lambda: jax.block_until_ready(jacobian(*args))


@bench("compile")
class LastByFirstState(Bench):
    """The Jacobian of the last state of a loop of Python by the first one, compiled."""

    params = {"case": tuple(JACOBIANS), "dtype": DTYPES}
    quick = {"case": ("50 x 32",)}
    peers = {"jax": jax_last_state}

    @classmethod
    def cases(cls, quick=False):
        # 200 of these in float32 are 5e-41: JAX has zeros there.
        gone = {"case": "200 x 256", "dtype": "float32"}
        return (case for case in super().cases(quick) if case != gone)

    def setup(self, case, dtype):
        steps, units, _ = JACOBIANS[case]
        rng = np.random.default_rng(5)
        self.exact = {
            "h": rng.standard_normal(units),
            "w": units**-0.5 * rng.standard_normal((units, units)),
            "x": rng.standard_normal((steps, units)),
        }
        self.inputs = in_dtype(self.exact, dtype)

        def last(h, w, x):
            for k in range(steps):
                h = np.tanh(w @ h + x[k])
            return h

        self.eager = bp.jacobian(last)
        self.compiled = bp.compile(self.eager)

    def check(self):
        return compare_with_exact(self.run(), self.eager(**self.exact))

    def run(self):
        return self.compiled(self.inputs["h"], self.inputs["w"], self.inputs["x"])

    @classmethod
    def targets(cls, case, dtype) -> dict[str, Target]:
        return {"jax": faster(JACOBIANS[case][2], "one")}
