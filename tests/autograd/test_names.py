"""Every public name of autograd is there, under its module, and is of the kind that it is there."""

import importlib
import inspect

import pytest

import fastbp as bp

NAMES = {
    "": "grad value_and_grad grad_and_aux grad_named multigrad_dict elementwise_grad "
    "holomorphic_grad deriv jacobian hessian make_vjp make_jvp make_hvp make_ggnvp "
    "vector_jacobian_product tensor_jacobian_product hessian_vector_product "
    "hessian_tensor_product checkpoint primitive dict isinstance list tuple type",
    "differential_operators": "make_jvp_reversemode grad make_vjp",
    "extend": "primitive notrace_primitive register_notrace defvjp defvjp_argnum defvjp_argnums "
    "defjvp defjvp_argnum defjvp_argnums def_linear Box VSpace vspace VJPNode JVPNode SparseObject",
    "builtins": "dict list tuple isinstance type SequenceBox DictBox ContainerVSpace "
    "SequenceVSpace ListVSpace TupleVSpace DictVSpace NamedTupleVSpace make_sequence "
    "container_take container_untake sequence_extend_left sequence_extend_right "
    "isinstance_ type_ dict_ list_ tuple_",
    "core": "make_vjp make_jvp backward_pass VJPNode JVPNode primitive_vjps primitive_jvps VSpace "
    "vspace SparseObject SparseBox add_outgrads sum_outgrads sparse_add identity_vjp identity_jvp "
    "translate_vjp translate_jvp defvjp defjvp def_linear primitive",
    "tracer": "trace Node Box new_box isbox getval primitive notrace_primitive register_notrace "
    "TraceStack trace_stack toposort",
    "misc": "flatten const_graph",
    "misc.flatten": "flatten flatten_func",
    "misc.tracers": "const_graph const_graph_unary full_graph ConstGraphNode FullGraphNode",
    "misc.optimizers": "sgd rmsprop adam unflatten_optimizer",
    "misc.fixed_points": "fixed_point",
    "test_util": "check_grads check_vjp check_jvp check_equivalent combo_check make_numerical_jvp "
    "scalar_close TOL RTOL EPS",
    "wrap_util": "unary_to_nary wraps wrap_nary_f get_name get_doc",
    "util": "subval subvals func toposort quick_grad_check",
    "numpy": "sum mean tanh dot einsum array concatenate stack where linspace pi inf newaxis "
    "float64 int64 ndarray linalg fft random make_diagonal concatenate_args array_from_args "
    "wrap_if_boxes_inside metadata numpy_boxes numpy_vjps numpy_vspaces numpy_wrapper numpy_jvps "
    "r_ c_ select row_stack append std var builtins",
    "numpy.linalg": "norm inv det slogdet solve cholesky eigh svd pinv eig LinAlgError",
    "numpy.fft": "fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn fftshift "
    "ifftshift fftfreq",
    "numpy.random": "randn rand RandomState seed normal default_rng",
    "numpy.numpy_boxes": "ArrayBox Box SequenceBox",
    "numpy.numpy_vspaces": "ArrayVSpace ComplexArrayVSpace",
    "numpy.numpy_vjps": "unbroadcast unbroadcast_f match_complex balanced_eq replace_zero untake",
    "numpy.numpy_wrapper": "wrap_namespace notrace_functions numpy_version",
    "scipy": "special linalg signal integrate stats",
    "scipy.special": "logsumexp beta betainc betaln digamma psi polygamma gamma gammaln gammainc "
    "gammaincc gammasgn rgamma multigammaln erf erfc erfinv erfcinv expit logit i0 i1 iv ive j0 j1 "
    "jn y0 y1 yn",
    "scipy.linalg": "sqrtm solve_sylvester solve_triangular solve_banded",
    "scipy.signal": "convolve",
    "scipy.integrate": "odeint",
    "scipy.stats": "norm t beta chi2 gamma poisson dirichlet multivariate_normal",
    "scipy.stats.norm": "pdf cdf sf logpdf logcdf logsf",
    "scipy.stats.t": "pdf cdf logpdf logcdf",
    "scipy.stats.beta": "pdf cdf logpdf",
    "scipy.stats.chi2": "pdf cdf logpdf",
    "scipy.stats.gamma": "pdf cdf logpdf",
    "scipy.stats.poisson": "pmf cdf logpmf",
    "scipy.stats.dirichlet": "pdf logpdf",
    "scipy.stats.multivariate_normal": "pdf logpdf entropy",
}
BOX = (
    "T dtype ndim shape size all any argmax argmin argpartition argsort astype clip compress "
    "cumprod cumsum diagonal flatten max mean min nonzero prod ravel repeat reshape round "
    "searchsorted squeeze std sum swapaxes take trace transpose var __add__ __sub__ __mul__ "
    "__truediv__ __mod__ __pow__ __matmul__ __abs__ __neg__ __eq__ __ne__ __lt__ __le__ __gt__ "
    "__ge__ __getitem__ __len__ __radd__ __rsub__ __rmul__ __rtruediv__ __rmod__ __rpow__ "
    "__rmatmul__ __array_ufunc__ __array_priority__ _value _node _trace register"
)


def module(name):
    return importlib.import_module(f"fastbp.autograd.{name}".rstrip("."))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_autograd_is_there(name):
    missing = [n for n in NAMES[name].split() if not hasattr(module(name), n)]
    assert missing == []


def test_every_name_of_a_box_is_there():
    x = bp.variable([1.0])
    assert [n for n in BOX.split() if not hasattr(x, n)] == []


@pytest.mark.parametrize("name", ["core", "extend", "builtins", "tracer", "test_util", "util"])
def test_modules_list_what_they_have(name):
    assert all(hasattr(module(name), n) for n in module(name).__all__)


@pytest.mark.parametrize("name", NAMES[""].split()[:19])
def test_operators_have_a_docstring(name):
    assert inspect.getdoc(getattr(module(""), name))


@pytest.mark.parametrize("name", ["numpy", "numpy.linalg", "numpy.fft", "numpy.random"])
def test_what_numpy_has_is_in_the_module_itself(name):
    # Libraries wrap ``vars(autograd.numpy)`` name by name.
    plain = importlib.import_module(name)
    public = {n for n, x in vars(plain).items() if callable(x) and not n.startswith("_")}
    assert public <= set(vars(module(name)))
    assert public <= set(dir(module(name)))


def test_what_fastbp_has_stands_in_the_place_of_numpys():
    assert module("numpy").sum is bp.numpy.sum
    assert module("numpy.linalg").norm is bp.numpy.linalg.norm
    assert module("scipy.special").logsumexp is bp.scipy.special.logsumexp


@pytest.mark.parametrize("name", ["numpy", "numpy.linalg", "scipy", "scipy.special", "scipy.stats"])
def test_a_wrong_name_says_where_it_was_looked_for(name):
    with pytest.raises(AttributeError, match=rf"module 'fastbp\.autograd\.{name}' has no attr"):
        module(name).tanhh  # noqa: B018
