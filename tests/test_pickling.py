"""What people hand to workers: pickled, copied, and called in other processes."""

import copy
import functools
import inspect
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares, minimize, root

import fastbp as bp
import fastbp.autograd as ag
import fastbp.numpy as bnp
import fastbp.scipy.fft as bsfft
import fastbp.scipy.special as bsp
from fastbp.rules.table import OPS


def scalar(x):
    """Return the sum of cubes."""
    return np.sum(x**3)


def scalar_and_aux(x, scale=2.0):
    return scale * np.sum(x**3), {"sum": np.sum(x)}


def vector(x):
    return x[1:] * x[:-1] ** 2


def own_vjp(g, ans, x):
    return 2.0 * g * np.cos(x)


@bp.checkpoint
def layer(x):
    """Bend."""
    return np.tanh(x) * x


@bp.value_and_grad
def decorated(x):
    return np.sum(np.cosh(x))


@bp.compile
def compiled(x):
    return np.sum(x**5)


@functools.partial(bp.compile, verify=2)
@bp.value_and_grad
def compiled_and_compared(x):
    return np.sum(x**5)


@bp.unmodified
def filled(x):
    y = np.zeros(4)
    y[:] = x
    return np.sum(y**2)


@ag.primitive
def primitive(x):
    return np.sin(x)


ag.extend.defvjp(primitive, lambda ans, x: lambda g: g * np.cos(x))


def falling(c, x):
    return np.tanh(c + x), c * x


def scanned(x):
    return np.sum(bp.scan(falling, 0.0, x)[1])


def shielded(f):
    @functools.wraps(f)
    def g(*args):
        return f(*args)

    return g


@shielded
@bp.elementwise_grad
@bp.checkpoint
def decorated_thrice(x):
    return np.exp(2.0 * x)


class Model:
    """A model whose gradient is a method."""

    def __init__(self, scale):
        self.scale = scale

    def loss(self, x, power=2):
        """Return a loss."""
        return self.scale * np.sum(x**power)

    slope = bp.grad(loss, argnums=1)

    @functools.partial(bp.grad, argnums=1)
    def quartic(self, x):
        return self.scale * np.sum(x**4)

    @bp.compile
    def compiled(self, x):
        return self.scale * np.sum(x**4)


def _holomorphic(g, x):
    return g(x + 0.5j)


def _from_the_left(g, x):
    return g(x, x[1:])


def _pulled(g, x):
    pullback, value = g(x)
    return pullback(1.0), value


def _pushed(g, x):
    return g(x)(x)


def _multiplied(g, x):
    product, slope = g(x)
    return product(x), slope


X = np.array([0.3, -1.2, 2.0, 0.7])
DERIVED = {
    "grad": bp.grad(scalar),
    "grad, aux": bp.grad(scalar_and_aux, argnums=(0,), has_aux=True),
    "value_and_grad": bp.value_and_grad(scalar),
    "elementwise_grad": bp.elementwise_grad(np.tanh),
    "jacobian": bp.jacobian(vector, mode="forward"),
    "jacobian of hessian": bp.jacobian(bp.hessian(scalar)),
    "hessian": bp.hessian(scalar),
    "checkpoint": bp.checkpoint(vector),
    "custom_rule": bp.elementwise_grad(bp.custom_rule(np.sin, vjp=own_vjp, name="sine")),
    "method": Model(3.0).slope,
    "decorated method": Model(3.0).quartic,
    "of a method": functools.partial(bp.grad(Model(1.0).loss), power=3),
    "decorated": layer,
    "decorated by value_and_grad": decorated,
    "decorated by three": decorated_thrice.__wrapped__,
    "vmap": bp.vmap(np.sinh),
    "vmap of grad": bp.vmap(bp.grad(np.sinh)),
    "compile": bp.compile(scalar),
    "compile of value_and_grad": bp.compile(bp.value_and_grad(scalar)),
    "decorated by compile": compiled,
    "decorated by both": compiled_and_compared,
    "grad of compiled": bp.grad(compiled),
    "compiled method": bp.grad(Model(2.0).compiled),
    "unmodified": bp.grad(bp.unmodified(scalar)),
    "decorated by unmodified": bp.value_and_grad(filled),
    "scan": bp.value_and_grad(scanned),
    "hvp": functools.partial(bp.hvp, scalar, v=X),
    "autograd.grad": ag.grad(scalar),
    "autograd.value_and_grad": ag.value_and_grad(scalar),
    "autograd.grad_and_aux": ag.grad_and_aux(scalar_and_aux),
    "autograd.multigrad_dict": ag.multigrad_dict(scalar),
    "autograd.jacobian": ag.jacobian(vector),
    "autograd.hessian": ag.hessian(scalar),
    "autograd.elementwise_grad": ag.elementwise_grad(np.tanh),
    "autograd.deriv": ag.deriv(np.tanh),
    "autograd.holomorphic_grad": functools.partial(_holomorphic, ag.holomorphic_grad(scalar)),
    "autograd.primitive": ag.elementwise_grad(primitive),
    "autograd.checkpoint": ag.elementwise_grad(ag.checkpoint(np.tanh)),
    "autograd.hessian_tensor_product": functools.partial(ag.hessian_tensor_product(scalar), X),
    "autograd.tensor_jacobian_product": functools.partial(
        _from_the_left, ag.tensor_jacobian_product(vector)
    ),
    "autograd.make_vjp": functools.partial(_pulled, ag.make_vjp(scalar)),
    "autograd.make_jvp": functools.partial(_pushed, ag.make_jvp(scalar)),
    "autograd.make_hvp": functools.partial(_multiplied, ag.make_hvp(scalar)),
    "autograd.make_ggnvp": functools.partial(_pushed, ag.make_ggnvp(vector)),
    "operation": bp.grad(bnp.logsumexp),
    "sparse.jacobian": bp.sparse.jacobian(vector, mode="reverse", format="csc"),
    "sparse.hessian": bp.sparse.hessian(scalar, coloring="acyclic"),
    "prepared": bp.sparse.prepare(vector, X, format="csc"),
    "prepared hessian": bp.sparse.prepare(bp.grad(scalar), X, coloring="acyclic"),
    "factorized": bp.sparse.factorized(sp.diags_array([[2.0] * 4, [1.0] * 3], offsets=[0, 1])),
}


def copies(x):
    for protocol in range(4, pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(x, protocol))
    yield copy.copy(x)
    yield copy.deepcopy(x)


def assert_same(found, expected):
    found, expected = bp.tree.flatten(found)[0], bp.tree.flatten(expected)[0]
    for a, b in zip(found, expected, strict=True):
        if sp.issparse(b):
            assert a.format == b.format
            a, b = a.toarray(), b.toarray()
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", DERIVED)
def test_derived_functions(name):
    f = DERIVED[name]
    f(X)  # what is kept from a call does not stand in the way
    for g in copies(f):
        assert type(g) is type(f)
        assert_same(g(X), f(X))
        assert_same(g(2.0 * X), f(2.0 * X))
        if hasattr(f, "__name__"):
            assert (g.__name__, g.__doc__) == (f.__name__, f.__doc__)


def test_names_docstrings_and_signatures():
    g = bp.value_and_grad(scalar_and_aux, has_aux=True)
    assert g.__name__ == g.__qualname__ == "value_and_grad(scalar_and_aux)"
    assert repr(g) == "<function value_and_grad(scalar_and_aux)>"
    assert inspect.getdoc(bp.grad(scalar)).endswith("Return the sum of cubes.")
    assert str(inspect.signature(g)) == "(x, scale=2.0)"
    assert (layer.__name__, layer.__doc__) == ("layer", "Bend.")
    assert inspect.unwrap(bp.grad(bp.grad(scalar))) is scalar
    slope = Model(2.0).slope
    assert str(inspect.signature(slope)) == "(x, power=2)"
    assert slope.__name__ == "grad(loss)"
    assert "Return a loss." in slope.__doc__
    assert "grad(loss) of <" in repr(slope)


def test_as_methods():
    model = Model(2.0)
    np.testing.assert_array_equal(model.slope(X), 4.0 * X)
    np.testing.assert_array_equal(model.slope(X, power=3), 6.0 * X**2)
    np.testing.assert_array_equal(Model.slope(model, X), 4.0 * X)
    assert model.slope.__self__ is model
    assert pickle.loads(pickle.dumps(model.slope)).__self__.scale == 2.0


def test_arguments_of_any_name():
    def f(x, f, name, argnums, self):
        return np.sum(x * f + name + argnums + self)

    rest = {"f": 2.0, "name": 1.0, "argnums": 1.0, "self": 1.0}
    np.testing.assert_array_equal(bp.grad(f)(X, **rest), np.full(4, 2.0))
    np.testing.assert_array_equal(bp.value_and_grad(f)(X, **rest)[1], np.full(4, 2.0))
    np.testing.assert_array_equal(bp.hessian(f)(X, **rest), np.zeros((4, 4)))
    np.testing.assert_array_equal(bp.elementwise_grad(f)(X, **rest), np.full(4, 2.0))


def test_the_names_of_the_table():
    for module in (bnp, bnp.fft, bnp.linalg, bsp, bsfft):
        for name in set(module.__all__) - {"fft", "linalg"}:
            function = getattr(module, name)
            assert all(same is function for same in copies(function)), name
    for op in OPS.values():
        assert all(same is op for same in copies(op))
    assert repr(bnp.linalg.norm).startswith("<function norm at")
    assert bnp.linalg.norm.__module__ == "fastbp.numpy.linalg"


def test_what_holds_a_record_says_so():
    pullback, pushforward = bp.vjp(vector, X)[1], bp.linearize(vector, X)[1]
    with pytest.raises(TypeError, match=r"pullback.*send the function.*fastbp\.vjp\(f, \*primals"):
        pickle.dumps(pullback)
    with pytest.raises(TypeError, match=r"pushforward.*fastbp\.linearize\(f, \*primals\)"):
        pickle.dumps(pushforward)
    assert copy.copy(pullback) is copy.deepcopy(pullback) is pullback
    np.testing.assert_array_equal(copy.deepcopy(pushforward)(np.ones(4)), pushforward(np.ones(4)))
    at_worker = pickle.loads(pickle.dumps(functools.partial(bp.vjp, vector, X)))()[1]
    assert_same(at_worker(np.ones(3)), pullback(np.ones(3)))
    found = least_squares(cubic, X, **bp.sparse.for_least_squares(cubic, use="operator"))
    with pytest.raises(TypeError, match=r"pushforward.*fastbp\.linearize\(f, \*primals\)"):
        pickle.dumps(found.jac)
    with pytest.raises(TypeError, match=r"send the compiled function, and call its bind"):
        pickle.dumps(compiled.bind(X))
    with pytest.raises(TypeError, match=r"pickle x\.value"):
        pickle.dumps(bp.sparse.factorized(bp.sparse.csr(bp.variable(X), *_diagonal())))


def _diagonal():
    return np.arange(4), np.arange(5), (4, 4)


def test_a_prepared_copy_is_its_own():
    p = bp.sparse.prepare(vector, X)
    matrix = p(X)
    for q in (copy.copy(p), copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert (q.mode, q.num_sweeps) == (p.mode, p.num_sweeps)
        np.testing.assert_array_equal(q.coloring.columns, p.coloring.columns)
        assert (q.pattern != p.pattern).nnz == 0
        assert q.verify(X)
        assert not np.shares_memory(q(2.0 * X).data, matrix.data)
    assert_same(matrix, bp.sparse.jacobian(vector, X))


def test_data_are_data(rng):
    w = rng.normal(size=(4, 4))
    chain = bp.chain.linearize(lambda x: np.tanh(w @ np.tanh(w @ x)), X)
    treedef = bp.tree.flatten({"a": [X, None], "b": (X, bp.tree)})[1]
    matrix = bp.sparse.csr(X, *_diagonal())
    chain.vjp(X)
    run = bp.chain.JacobianChain([bp.chain.RowScaled(X, w)] * 5)
    for c in (chain, run):
        c.product()
    for same in (*copies(chain), *copies(run)):
        assert same.factors[0].structure is bp.chain.costs.known(same.factors[0].structure)
    for same in copies(chain):
        np.testing.assert_array_equal(same.product().to_dense(), chain.product().to_dense())
        assert same.shape == chain.shape
    for factor in chain:
        for same in copies(factor):
            np.testing.assert_array_equal(same.to_dense(), factor.to_dense())
    operator = chain.to_linear_operator()
    for same in copies(operator):
        for v in (X, np.outer(X, X[:2])):
            np.testing.assert_array_equal(same @ v, operator @ v)
            np.testing.assert_array_equal(same.T @ v, operator.T @ v)
    for same in copies(treedef):
        assert same == treedef
        assert same.unflatten([1, 2, 3]) == treedef.unflatten([1, 2, 3])
    for same in copies(matrix):
        np.testing.assert_array_equal(same.toarray(), np.diag(X))
    for same in copies(bp.sparse.color(np.eye(4), "star")):
        assert same.num_colors == 1


def tilted(step):
    return 0.1 / (1.0 + step)


OPTIMIZERS = {
    "SGD": bp.optim.SGD(0.1, momentum=0.9),
    "Adam, scheduled": bp.optim.Adam(tilted),
    "AdamW": bp.optim.AdamW(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_is_carried_on_from_its_optimizer_and_state(name):
    optimizer, params = OPTIMIZERS[name], {"x": X, "of": "a setting"}
    slope = bp.grad(lambda p: np.sum(p["x"] ** 4))
    state = optimizer.init(params)
    params, state = optimizer.update(slope(params), state, params)
    expected = optimizer.update(slope(params), state, params)
    for other, there, carried in copies((optimizer, params, state)):
        assert type(other) is type(optimizer)
        found = other.update(slope(there), carried, there)
        assert found[0].pop("of") == "a setting"
        assert_same(found[0]["x"], expected[0]["x"])
        assert_same(found[1]["step"], expected[1]["step"])


def test_results_of_minimisations():
    for minimise in (bp.optim.adam, bp.optim.sgd, bp.optim.lbfgs):
        params, result = minimise(bowl, X, steps=3)
        for same in copies((params, result)):
            np.testing.assert_array_equal(same[0], params)
            assert repr(same[1]) == repr(result)


def test_errors_and_warnings():
    kinds = [x for x in vars(bp.errors).values() if inspect.isclass(x)]
    assert len(kinds) > 5
    for kind in kinds:
        for same in copies(kind("grad: what to write instead")):
            assert type(same) is kind
            assert str(same) == "grad: what to write instead"


# ---- arguments for solvers


def rate(t, y):
    return -20.0 * y + np.cos(t)


def cubic(x):
    return x**3 + x - 1.0


def bowl(x):
    return np.sum(np.cosh(x - 1.0)) + np.sum(0.1 * (x[1:] * x[:-1]) ** 2)


SOLVERS = {
    "ivp": (solve_ivp, (rate, (0.0, 1.0), X), bp.sparse.for_solve_ivp(rate, method="BDF")),
    "dense ivp": (solve_ivp, (rate, (0.0, 1.0), X), bp.sparse.for_solve_ivp(rate, method="LSODA")),
    "krylov": (root, (cubic, X), bp.sparse.for_root(cubic, method="krylov")),
    "hybr": (root, (cubic, X), bp.sparse.for_root(cubic, method="hybr")),
    **{
        use: (least_squares, (cubic, X), bp.sparse.for_least_squares(cubic, X, use=use))
        for use in ("sparse", "dense", "operator", "jac_sparsity")
    },
    **{
        f"{method}, {use}": (minimize, (bowl, X), bp.sparse.for_minimize(bowl, **which))
        for method, use in (
            ("trust-ncg", "hessp"),
            ("Newton-CG", "matrix_free"),
            ("trust-constr", "hess"),
            ("trust-exact", "dense"),
            ("trust-constr", "operator"),
            ("BFGS", "gradient"),
        )
        for which in ({"method": method, "use": use},)
    },
}


@pytest.mark.parametrize("name", SOLVERS)
def test_arguments_for_solvers(name):
    solver, args, given = SOLVERS[name]
    found = solver(*args, **given)
    expected = found.y if solver is solve_ivp else found.x
    for same in copies(given):
        found = solver(*args, **same)
        np.testing.assert_array_equal(found.y if solver is solve_ivp else found.x, expected)


# ---- other processes

SCRIPT = """
    import multiprocessing
    import sys
    import numpy as np
    import fastbp as bp

    def f(x):
        return np.sum(np.tanh(x) * x)

    @bp.value_and_grad
    def decorated(x):
        return np.sum(x**3)

    def vector(x):
        return x[1:] * x[:-1] ** 2

    class Model:
        def loss(self, x):
            return np.sum(x * x)
        slope = bp.grad(loss, argnums=1)

    if __name__ == "__main__":
        xs = [np.linspace(0.1, 1.0, n) for n in (3, 16, 200_000, 5)]  # the large one in threads
        expected = [bp.value_and_grad(f)(x) for x in xs]
        small = [xs[0], xs[1]]
        jac, prepared = bp.sparse.jacobian(vector), bp.sparse.prepare(vector, xs[0])
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            for (y, g), (value, slope) in zip(pool.map(bp.value_and_grad(f), xs), expected):
                assert y == value and np.array_equal(g, slope)
            for x, (y, g) in zip(small, pool.map(decorated, small)):
                assert np.allclose(g, 3.0 * x**2, rtol=1e-14)
            for x, g in zip(small, pool.map(Model().slope, small)):
                assert np.array_equal(g, 2.0 * x)
            for x, j in zip(small, pool.map(jac, small)):
                assert np.array_equal(j.toarray(), bp.jacobian(vector)(x))
            for j in pool.map(prepared, small[:1]):
                assert np.array_equal(j.toarray(), bp.jacobian(vector)(small[0]))
        print("done")
"""


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_pools(start, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    run = [sys.executable, str(path), start]
    found = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert found.stdout == "done\n", found.stderr


def test_by_value():
    cloudpickle = pytest.importorskip("cloudpickle")
    scale = 3.0
    loss = lambda x: scale * np.sum(np.tanh(x) * x)
    made = [
        bp.value_and_grad(loss),
        bp.hessian(bp.checkpoint(loss)),
        bp.sparse.hessian(loss),
        bp.sparse.prepare(lambda x: scale * vector(x), X),
        bp.sparse.for_minimize(loss)["jac"],
        bp.compile(bp.value_and_grad(loss)),
        bp.vmap(bp.grad(lambda x: scale * np.sinh(x))),
        bp.grad(bp.unmodified(loss)),
        bp.elementwise_grad(bp.custom_rule(lambda x: scale * x, vjp=lambda g, ans, x: scale * g)),
        ag.hessian(loss),
    ]
    code = "import sys, pickle; made, x = pickle.load(sys.stdin.buffer); "
    code += "sys.stdout.buffer.write(pickle.dumps([g(x) for g in made]))"
    here = sys.modules[__name__]  # which the other process cannot import
    cloudpickle.register_pickle_by_value(here)
    sent = cloudpickle.dumps((made, X))
    cloudpickle.unregister_pickle_by_value(here)
    run = subprocess.run(
        [sys.executable, "-P", "-c", code], input=sent, capture_output=True, check=False
    )
    assert run.returncode == 0, run.stderr.decode()
    for g, found in zip(made, pickle.loads(run.stdout), strict=True):
        assert_same(found, g(X))
