"""Programs for autograd: run by `test_peer.py` with autograd itself and with fastbp's names for it.

``python peer_programs.py autograd`` (or ``fastbp.autograd``) prints all results as JSON.
"""

import importlib
import json
import sys
import warnings

import numpy as onp

X = onp.array([0.5, -1.2, 1.9])  # nothing at a kink or a zero
Y = onp.array([1.5, 0.3, -0.7])
M = onp.array([[2.0, 0.3, -0.1], [0.3, 1.5, 0.2], [-0.1, 0.2, 1.0]])
Z = onp.array([0.3 + 0.1j, -0.2 + 1j, 1.5 - 0.4j])
T = onp.arange(24.0).reshape(2, 3, 4) / 10 - 1.15


def programs(ag):
    """Return name -> function without arguments, over a namespace ``ag(module)``."""
    np, top = ag("numpy"), ag("")
    ops, ext = ag("differential_operators"), ag("extend")
    special, norm = ag("scipy.special"), ag("scipy.stats.norm")
    signal, misc = ag("scipy.signal"), ag("misc")
    optimizers, fixed = ag("misc.optimizers"), ag("misc.fixed_points")

    elementwise = (
        "sin cos tan tanh exp expm1 sinh cosh arctan arcsinh square abs negative sinc deg2rad exp2 "
        "fabs conj real sign floor nan_to_num reciprocal"
    )
    positive = "log log1p log2 log10 sqrt arccosh"
    reductions = "sum mean std var prod max min cumsum"
    found = {}
    for name in elementwise.split():
        found[f"elementwise {name}"] = (getattr(np, name), (X,))
    for name in positive.split():
        found[f"elementwise {name}"] = (getattr(np, name), (onp.abs(X) + 1.1,))
    for name in "exp sin cos sinh square abs real imag angle conj sqrt log tanh".split():
        found[f"complex {name}"] = (getattr(np, name), (Z,))
    for name in "add subtract multiply divide arctan2 maximum minimum logaddexp hypot".split():
        found[f"binary {name}"] = (getattr(np, name), (X, Y))
        found[f"binary broadcast {name}"] = (getattr(np, name), (T[:, :, 1], Y))
    for name in reductions.split():
        f = getattr(np, name)
        found[f"reduction {name}"] = (f, (X,))
        found[f"reduction {name} axis"] = (lambda t, f=f: f(t, axis=1), (T,))
        if name != "cumsum":
            found[f"reduction {name} keep"] = (lambda t, f=f: f(t, axis=-1, keepdims=True), (T,))
    found |= {
        "power": (lambda x, y: np.abs(x) ** y, (X, Y)),
        "dot": (np.dot, (M, X)),
        "matmul": (lambda t, m: np.matmul(t, m), (T, T[0].T)),
        "einsum": (lambda a, b: np.einsum("ij,jk->ki", a, b), (M, T[0])),
        "tensordot": (lambda a, b: np.tensordot(a, b, 1), (M, T[0])),
        "outer": (np.outer, (X, Y)),
        "inner": (np.inner, (X, Y)),
        "kron": (np.kron, (M[:2], M[:, :2])),
        "cross": (np.cross, (X, Y)),
        "reshape": (lambda t: np.reshape(t, (4, 6)), (T,)),
        "transpose": (lambda t: np.transpose(t, (2, 0, 1)), (T,)),
        "concatenate": (lambda x, y: np.concatenate((x, y, x)), (X, Y)),
        "stack": (lambda x, y: np.stack([x, y], axis=1), (X, Y)),
        "vstack": (lambda x, y: np.vstack((x, y)), (X, Y)),
        "array": (lambda x: np.array([[x[0], 1.0], [x[1] * x[2], x[0]]]), (X,)),
        "where": (lambda x, y: np.where(X > 0, x * y, y), (X, Y)),
        "clip": (lambda x: np.clip(x, -1.0, 1.0), (X,)),
        "index": (lambda t: t[:, [0, 2, 0], 1:3] * 2, (T,)),
        "mask": (lambda x: x[X > 0], (X,)),
        "pad": (lambda x: np.pad(x, (1, 2), "constant"), (X,)),
        "roll": (lambda x: np.roll(x, 1), (X,)),
        "repeat": (lambda t: np.repeat(t, 2, axis=1), (T,)),
        "tile": (lambda x: np.tile(x, (2, 2)), (X,)),
        "diag": (np.diag, (M,)),
        "trace": (np.trace, (M,)),
        "triu": (np.triu, (M,)),
        "diff": (lambda x: np.diff(x), (X,)),
        "linspace": (lambda a: np.linspace(a, 3.0, 4), (0.5,)),
        "det": (np.linalg.det, (M,)),
        "inv": (np.linalg.inv, (M,)),
        "solve": (np.linalg.solve, (M, X)),
        "cholesky": (lambda m: np.linalg.cholesky(m + m.T), (M,)),
        "slogdet": (lambda m: np.linalg.slogdet(m)[1], (M,)),
        "norm": (np.linalg.norm, (M,)),
        "logsumexp": (special.logsumexp, (X,)),
        "expit": (special.expit, (X,)),
        "erf": (special.erf, (X,)),
        "norm logpdf": (lambda x, m: norm.logpdf(x, m, 1.7), (X, 0.3)),
        "norm cdf": (norm.cdf, (X,)),
        "convolve": (signal.convolve, (X, Y)),
        "convolve same": (lambda a, b: signal.convolve(a, b, mode="same"), (T[0], M[:2, :2])),
        "convolve even": (lambda a, b: signal.convolve(a, b, mode="same"), (T[0, 0], Y[:2])),
        "convolve longer": (lambda a, b: signal.convolve(a, b, mode="same"), (X, T[0, 0])),
        "convolve images": (
            lambda a, b: signal.convolve(a, b, axes=([2], [2]), dot_axes=([1], [0]), mode="valid"),
            (T, T[:1, :2, :2].repeat(3, 0)),
        ),
        "mlp": (lambda m, x: np.sum(np.tanh(np.dot(np.tanh(np.dot(m, x)), m)) ** 2), (M, X)),
        "softmax": (lambda x: np.exp(x - special.logsumexp(x)), (X,)),
        "loop": (lambda x: [x := np.sin(x) + x for _ in range(5)][-1], (X,)),
        "complex loss": (lambda z: np.sum(np.real(z * np.conj(z))), (Z,)),
        "real to complex": (lambda x: np.abs(np.exp(1j * x) + x) ** 2, (X,)),
    }

    @ext.primitive
    def own(x, y):
        return x * y**2

    ext.defvjp(own, lambda ans, x, y: lambda g: g * y**2, lambda ans, x, y: lambda g: 2 * g * x * y)
    ext.defjvp(own, lambda g, ans, x, y: g * y**2, lambda g, ans, x, y: 2 * g * x * y)
    found["primitive"] = (own, (X, Y))

    cases = {}
    for name, (f, args) in found.items():
        both = tuple(range(len(args)))

        def total(*args, f=f):
            return np.sum(np.sin(np.abs(f(*args)) + 0.1))

        cases[f"value: {name}"] = lambda f=f, args=args: f(*args)
        cases[f"grad: {name}"] = lambda f=total, args=args, n=both: top.grad(f, n)(*args)
        cases[f"vjp: {name}"] = lambda f=f, args=args: pulled(top, ext, f, args)
        cases[f"jvp: {name}"] = lambda f=f, args=args: pushed(top, f, args)
        if not any(onp.iscomplexobj(x) for x in args):
            cases[f"jacobian: {name}"] = lambda f=f, args=args: top.jacobian(f)(*args)
            cases[f"hessian: {name}"] = lambda f=total, args=args: top.hessian(f)(*args)

    params = {"w": [M, 0.5], "b": (X,), "c": {"d": Y}}

    def of_params(p):
        return np.sum(np.tanh(np.dot(p["w"][0], p["b"][0]) * p["w"][1]) * p["c"]["d"])

    def newton(a):
        return lambda x: 0.5 * (x + a / x)

    def root(a):
        return fixed.fixed_point(newton, a, 1.0, lambda x, y: np.abs(x - y), 1e-10)

    def loss(p, i=0):
        return (p["a"] - 1.0) ** 2 + np.sum((p["b"] - X) ** 2)

    start = {"a": 0.3, "b": onp.zeros(3)}
    cubes = lambda x: np.sum(x**3) * x[0]
    return cases | {
        "containers": lambda: top.grad(of_params)(params),
        "containers vjp": lambda: top.make_vjp(lambda p: top.tuple((p["w"][1] * 2, p["b"][0])))(
            params
        )[0]((1.0, Y)),
        "value_and_grad": lambda: top.value_and_grad(cubes)(X),
        "elementwise_grad": lambda: top.elementwise_grad(np.tanh)(X),
        "deriv": lambda: top.deriv(np.tanh)(0.3),
        "holomorphic_grad": lambda: top.holomorphic_grad(lambda z: z**3 + np.exp(z))(1 + 2j),
        "grad_and_aux": lambda: top.grad_and_aux(lambda x: (cubes(x), x * 2))(X),
        "grad_named": lambda: top.grad_named(lambda a, b: a * b**2, "b")(2.0, 3.0),
        "make_hvp": lambda: top.make_hvp(cubes)(X)[0](Y),
        "hessian_vector_product": lambda: top.hessian_vector_product(cubes)(X, Y),
        "tensor_jacobian_product": lambda: top.tensor_jacobian_product(lambda x: x**2 * x[0])(X, Y),
        "make_ggnvp": lambda: top.make_ggnvp(lambda x: np.tanh(np.dot(M, x)))(X)(Y),
        "make_jvp_reversemode": lambda: ops.make_jvp_reversemode(lambda x: np.tanh(x) * x[0])(X)(Y),
        "checkpoint": lambda: top.grad(top.checkpoint(cubes))(X),
        "grad of grad": lambda: top.grad(top.grad(lambda x: np.sin(x) * x**3))(0.7),
        "nested": lambda: top.grad(lambda x: x * top.grad(lambda y: x * y**2)(2.0))(5.0),
        "flatten": lambda: misc.flatten(params)[0],
        "unflatten": lambda: misc.flatten(params)[1](misc.flatten(params)[0] * 2),
        "fixed_point": lambda: top.grad(root)(2.0),
        "sgd": lambda: optimizers.sgd(lambda p, i: top.grad(loss)(p), start, num_iters=20),
        "rmsprop": lambda: optimizers.rmsprop(lambda p, i: top.grad(loss)(p), start, num_iters=20),
        "adam": lambda: optimizers.adam(lambda p, i: top.grad(loss)(p), start, num_iters=20),
        "vspace": lambda: [ext.vspace(params).zeros(), ext.vspace(Z).size],
    }


def pulled(top, ext, f, args):
    pull, value = top.make_vjp(f, tuple(range(len(args))))(*args)
    g = onp.cos(onp.arange(onp.size(value))).reshape(onp.shape(value))
    return pull(g + 0.5j * g if onp.iscomplexobj(value) else g if onp.ndim(value) else float(g))


def pushed(top, f, args):
    tangents = tuple(
        onp.sin(onp.arange(onp.size(x)) + 1.0).reshape(onp.shape(x)).astype(onp.result_type(x))
        if onp.ndim(x)
        else 0.7
        for x in args
    )
    return top.make_jvp(f, tuple(range(len(args))))(*args)(tangents)


def plain(x):
    """Return numbers in nested lists, complex ones as pairs."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    x = onp.asarray(x)
    if x.dtype.kind == "c":
        x = onp.stack([x.real, x.imag], -1)
    return x.astype(float).tolist()


def run(name):
    """Return the result of each program, or the class of its error."""
    results = {}
    cases = programs(lambda module: importlib.import_module(f"{name}.{module}".rstrip(".")))
    for case, f in cases.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                results[case] = plain(f())
            except Exception as error:
                results[case] = f"{type(error).__name__}: {error}"
    return results


if __name__ == "__main__":
    json.dump(run(sys.argv[1]), sys.stdout)
