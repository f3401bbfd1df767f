"""What docs/from_jax.md and docs/from_pytorch.md say of the others, where these are installed."""

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # they warn of themselves, while they import


JAX_NAMES = """
grad value_and_grad hessian jacfwd jacrev vjp jvp linearize vmap jit custom_vjp custom_jvp
pure_callback checkpoint lax.stop_gradient lax.scan lax.fori_loop lax.while_loop lax.cond lax.switch
random.normal tree.map tree.flatten flatten_util.ravel_pytree nn.relu nn.sigmoid nn.softmax
nn.softplus nn.log_softmax experimental.ode.odeint test_util.check_grads
"""


def version(module):
    return tuple(map(int, module.__version__.split("+")[0].split(".")[:2]))


@pytest.fixture
def jax():
    module = pytest.importorskip("jax")
    if version(module) != (0, 10):
        pytest.skip("the page is about JAX 0.10")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)


@pytest.fixture
def torch():
    module = pytest.importorskip("torch")
    if version(module) != (2, 13):
        pytest.skip("the page is about PyTorch 2.13")
    before = module.get_default_dtype()
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(before)


def test_jax_has_the_names_of_the_page(jax):
    import jax.experimental.ode
    import jax.flatten_util
    import jax.scipy.special
    import jax.test_util

    for name in JAX_NAMES.split():
        found = jax
        for part in name.split("."):
            found = getattr(found, part)
        assert callable(found)


def test_jax_gives_these_values(jax):
    jnp, x = jax.numpy, jax.numpy.array([1.0, 2.0])
    assert jax.grad(lambda x: x[5])(x).tolist() == [0.0, 1.0]
    assert np.isnan(jax.grad(jnp.linalg.norm)(jnp.zeros(2))).all()
    assert np.isnan(jax.grad(lambda x: jnp.where(x > 0, jnp.sqrt(x), 0.0))(0.0))
    assert jax.grad(jnp.abs)(0.0) == 1.0
    assert jax.grad(lambda x: x if x > 0 else -x)(1.0) == 1.0
    assert jax.grad(lambda x, y: x, (0, 1))(1.0, 2.0)[1] == 0.0
    assert jax.grad(lambda z: z * jnp.conj(z), holomorphic=True)(1 + 2j) == 2 - 4j
    assert jax.grad(lambda z: jnp.abs(z) ** 2)(1 + 2j) == 2 - 4j
    assert np.isnan(jax.grad(lambda a: jnp.sum(jnp.linalg.eigh(a)[1]))(jnp.eye(2))).any()
    assert jax.tree.flatten({"w": 1.0, "b": 2.0})[0] == [2.0, 1.0]
    hvp = jax.jvp(jax.grad(lambda x: jnp.sum(x**3)), (x,), (x,))[1]
    assert hvp.tolist() == [6.0, 24.0]


def test_jax_makes_float32_unless_it_is_told(jax):
    jax.config.update("jax_enable_x64", False)
    assert jax.grad(lambda x: jax.numpy.sum(x**2))(np.ones(2)).dtype == np.float32


def test_jax_refuses(jax):
    jnp, lax = jax.numpy, jax.lax
    rule = jax.custom_vjp(lambda x: x)
    rule.defvjp(lambda x: (x, None), lambda kept, g: (g,))
    loop = lambda x: lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * x, c[1] + 1), (x, 0))[0]
    for call in (
        lambda: jax.grad(lambda x: x.__setitem__(0, 1.0))(jnp.ones(2)),
        lambda: jax.grad(np.sin)(1.0),
        lambda: jax.jit(lambda x: x if x > 0 else -x)(1.0),
        lambda: jax.grad(loop)(2.0),
        lambda: jax.grad(lambda x: x**2)(3),
        lambda: jax.grad(lambda p: p["x"] ** p["n"])({"x": 2.0, "n": 3}),
        lambda: jax.grad(lambda p: p["x"])({"x": 2.0, "n": "text"}),
        lambda: jax.jvp(rule, (1.0,), (1.0,)),
        lambda: jax.grad(lambda a: jnp.linalg.eig(a)[0].real.sum())(jnp.array([[1.0, 2], [3, 4]])),
        lambda: jax.grad(lambda a: jax.scipy.special.betainc(a, 1.0, 0.3))(2.0),
        lambda: jax.grad(
            lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), np.float64), x)
        )(1.0),
    ):
        with pytest.raises((TypeError, ValueError, NotImplementedError)):
            call()


def test_pytorch_gives_these_values(torch):
    grad, t = torch.func.grad, torch.tensor
    x = t([1.0, 2.0], requires_grad=True)
    assert torch.func.grad_and_value(lambda x: (x**3).sum())(t([1.0, 2.0]))[1] == 9.0
    functional = torch.autograd.functional.hvp(lambda x: (x**3).sum(), x, t([1.0, 2.0]))
    assert functional[1].tolist() == [6.0, 24.0]
    for _ in range(2):
        (x**2).sum().backward()
    assert x.grad.tolist() == [4.0, 8.0]
    assert torch.isnan(grad(lambda x: torch.where(x > 0, torch.sqrt(x), 0.0))(t(0.0)))
    assert grad(torch.linalg.norm)(t([0.0, 0.0])).tolist() == [0.0, 0.0]
    assert torch.isnan(grad(lambda a: torch.linalg.eigh(a)[1].sum())(torch.eye(2))).any()
    assert grad(lambda x, y: x * 1, (0, 1))(t(1.0), t(2.0))[1] == 0.0
    assert grad(torch.median)(t([1.0, 2.0, 3.0, 4.0])).tolist() == [0.0, 1.0, 0.0, 0.0]
    z = t(1 + 2j, requires_grad=True)
    assert torch.autograd.grad(z.abs() ** 2, z)[0] == 2 + 4j
    assert [len(part) for part in torch.split(torch.arange(6.0), 2)] == [2, 2, 2]
    assert t([1.0, 2.0]).repeat(2).tolist() == [1.0, 2.0, 1.0, 2.0]
    assert np.isclose(torch.std(t([1.0, 3.0])), np.sqrt(2.0))
    assert torch.max(torch.ones(2, 3), dim=0).indices.shape == (3,)
    torch.set_default_dtype(torch.float32)
    assert t([1.0]).dtype == torch.float32
    assert torch.from_numpy(np.ones(1)).dtype == torch.float64


def test_pytorch_has_functions_that_lead_out_of_the_graph(torch):
    x = torch.tensor(2.0, requires_grad=True)
    special = torch.special
    for f in (special.bessel_j0, special.modified_bessel_i0, special.airy_ai):
        assert torch.autograd.grad(x + f(x), x)[0] == 1.0
    assert torch.autograd.grad(x + special.chebyshev_polynomial_t(x, 2), x)[0] == 1.0


def test_pytorch_refuses(torch):
    t = torch.tensor

    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.exp(x)

        @staticmethod
        def backward(ctx, g):
            return g

    def leaf():
        return t([1.0, 2.0], requires_grad=True)

    def overwritten():
        z = torch.exp(leaf())
        z[0] = 0.0
        z.sum().backward()

    def twice():
        y = (leaf() ** 2).sum()
        y.backward()
        y.backward()

    for call in (
        overwritten,
        twice,
        lambda: leaf().__iadd__(1.0),
        lambda: np.sin(leaf()),
        lambda: t(3, requires_grad=True),
        lambda: torch.func.grad(lambda x: x**2)(3.0),
        lambda: torch.func.jvp(Clipped.apply, (t(5.0),), (t(1.0),)),
        lambda: leaf()[::-1],
        lambda: torch.autograd.grad(leaf().sum(), leaf()),
        lambda: torch.func.grad(lambda a: torch.special.gammainc(a, t(1.0)))(t(2.0)),
        lambda: torch.func.grad(lambda s: torch.special.zeta(s, t(1.5)))(t(2.0)),
    ):
        with pytest.raises((RuntimeError, ValueError, NotImplementedError)):
            call()
