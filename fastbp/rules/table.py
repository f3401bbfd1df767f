"""The table of operations, and the ways to write a row.

An operation states its facts once; values, VJPs, JVPs, Jacobian blocks, tests and the reference
page follow.

* `elementwise`: a ufunc (or an expression of ufuncs) and its partial derivatives.
* `linear`: a linear map of one operand and its transpose.
* `general`: a VJP and a JVP for every operand.
* `helper`: an elementwise operation without a name of its own in NumPy, for rules and the engine.
* `nondifferentiable`: NumPy functions that are constant almost everywhere; they see the values.
* `creates`: NumPy functions that make arrays from shapes and numbers.

`implements` says which NumPy function a Python function stands for.

Every operation is here, those of families that are imported late (`LATE`) once they are; only
users' own (`fastbp.custom_rule`, `fastbp.checkpoint`) are not.

The contract of a rule: it is flat and pure, written in ordinary NumPy code, so that the same rule
runs on arrays and, when its result is to be differentiated again, on Variables. It never undoes
broadcasting, never casts and never accumulates: the engine does. The cotangent `g` (the tangent
`t`) may carry extra *leading* block axes in front of the shape of the output (of the operand), and
the result carries them too: so a rule counts axes from the end.
"""

import copyreg
import functools
import importlib
import inspect
import sys

import numpy as np

from fastbp._core import graph
from fastbp._core.graph import Op, has_variable
from fastbp.errors import FastbpError, NoRuleError, named
from fastbp.rules import patterns

__all__ = [
    "CONSTANTS",
    "CREATORS",
    "FUNCTIONS",
    "KINKS",
    "LATE",
    "OPS",
    "REFUSED",
    "SAMPLES",
    "SPECIAL",
    "attribute",
    "creates",
    "elementwise",
    "general",
    "helper",
    "implements",
    "linear",
    "load",
    "load_all",
    "nondifferentiable",
    "refuse",
]

OPS = {}  # name -> Op
FUNCTIONS = {}  # name in fastbp.numpy, or behind "fastbp." -> function
CREATORS = {}  # the same for what makes arrays and has no derivative
KINKS = {}  # name of a function -> the convention where its derivative does not exist
CONSTANTS = {}  # what sees the values of Variables -> why it has no derivative
REFUSED = {}  # name of a function of SciPy's that takes no Variable -> why, or what to write
SAMPLES = {}  # name of a function or an operation -> calls for the tests; see `implements`
# Families whose rows are added when they are imported: they need more of SciPy, or of fastbp.
SPECIAL = tuple(
    f"fastbp.rules.special.{family}"
    for family in (
        "ufuncs gamma elementary integrals bessel airy polynomials hypergeometric incomplete "
        "distributions elliptic"
    ).split()
)
_OF_SCIPY = {
    "signal": "convolution filtering detrending spectral resampling responses smoothing",
    "integrate": "samples",
    "interpolate": "solving",
    "linalg": "triangular solving lu functions equations assembly toeplitz spectral factors "
    "banded pencils subspaces forms",
    "ndimage": "filters resampling interpolation order",
    "stats": "samples",
}
LATE = (
    "fastbp.rules.fft.of_scipy",
    *SPECIAL,
    *[
        f"fastbp.rules.{room}.{module}"
        for room, modules in _OF_SCIPY.items()
        for module in modules.split()
    ],
    "fastbp.sparse.products",
    "fastbp.sparse.solving",
    "fastbp.recurrent.fused",
)


def elementwise(
    name,
    forward,
    *partials,
    ufunc=None,
    domain=(-2.0, 2.0),
    kinks="",
    kernel=None,
    selects=0,
    squared=None,
    of_square=None,
    source="",
    error=(3e-15, 3e-15),
    complex=None,
    namespace="numpy",
    **facts,
):
    """Add an elementwise operation.

    Parameters
    ----------
    name : str
    forward : numpy.ufunc or callable
        The value; a callable is an expression of ufuncs and ``np.where`` of its operands.
    *partials : callable
        One for each operand: ``partial(ans, *operands)``, an expression of the same kind.
    ufunc : numpy.ufunc or tuple of them, optional
        What is recorded as this operation; `forward` itself if that is a ufunc.
    domain : (float, float) or tuple of them
        Where tests sample the operands (one pair, or one for each): inside, away from kinks.
    kinks : str
        The convention where the derivative does not exist.
    kernel : str, optional
        A kernel of the core that computes `forward`.
    selects : int
        Bit mask of operands whose partial, where it is zero, says that another branch was taken.
    squared, of_square : callable, optional
        The square of the value as another function; see `fastbp._core.graph.Op`.
    source : str
        Where the formula is from; empty for calculus.
    error : (float, float)
        Bounds of the relative error of first and second derivatives in float64, over the whole
        range of the operands; `tests/rules/test_precision.py` holds them against mpmath.
    complex : True, tuple of callable, callable or None
        What it is where an operand is complex. True: the same, the partials hold for complex
        numbers; a tuple: the same with these partials; a function: that is called with the
        operands instead; None: it is refused.
    namespace : str
        Where it is public: behind ``fastbp.``.
    **facts
        Others, kept in ``op.info``: those of `fastbp.rules.special.rows`.

    Returns
    -------
    Op
    """
    op = helper(
        name,
        forward,
        *partials,
        kernel=kernel,
        selects=selects,
        squared=squared,
        of_square=of_square,
        domain=domain,
        kinks=kinks,
        source=source,
        error=error,
        complex=complex,
        namespace=namespace,
        **facts,
    )
    for u in _as_tuple(ufunc if ufunc is not None else forward):
        if isinstance(u, np.ufunc):
            graph.bind_ufunc(u, op)
    FUNCTIONS[name if namespace == "numpy" else f"{namespace}.{name}"] = op
    return op


def helper(
    name, forward, *partials, domain=None, kinks="", source="", kernel=None, complex=None, **facts
):
    """Add an elementwise operation that has no name of its own in a namespace.

    The core calls it by name, or it stands in partials: for one that calculus would differentiate
    into a difference of nearly equal numbers, or whose derivative a ``np.where`` hides, what it is
    differentiated into is stated instead. An operand that only saves work, as the value already
    known, is handed over as a plain array (`values_of`), and its partial is 0.

    Parameters
    ----------
    name : str
    forward : callable
        An expression of ufuncs and ``np.where``.
    *partials : callable
    domain : (float, float) or tuple of them, optional
        As in `elementwise`. Without it the operation is tested where it stands only: its partials
        are not the derivative of `forward` for all operands.
    kinks, source, kernel, complex
        As in `elementwise`.
    **facts
        Others of `fastbp._core.graph.Op`.

    Returns
    -------
    Op
    """
    facts |= {"nin": len(partials), "domain": domain, "kinks": kinks, "source": source}
    facts["kind"] = "elementwise"
    if isinstance(complex, tuple):
        title = _title(name, facts.get("namespace"))
        complex = Op(name, forward, partials=complex, complex=True, title=title, **facts)
    op = _add(name, forward, partials=partials, kernel=kernel, complex=complex, **facts)
    graph.bind(name, op)
    return op


def linear(
    name,
    apply,
    transpose,
    *,
    tangent=None,
    saves=(),
    compiled=None,
    of_square=None,
    pattern=None,
    moving=None,
    local=None,
    plan=None,
    batch=None,
    direct=(),
    samples=None,
    source="",
):
    """Add a linear map of one operand, given by itself and its transpose.

    Parameters
    ----------
    name : str
    apply : callable
        ``apply(x, **static)``; leading block axes of `x` pass through, so `static` counts axes
        from the end.
    transpose : callable
        ``transpose(g, ans, x, **static)``, where `ans` and `x` are specs: shape and dtype only.
    tangent : callable, optional
        Like `apply`, which has NumPy's order of summation: a more accurate one, for tangents that
        are arrays.
    saves : tuple
        (0,) if the transpose reads the operand's value, as no plain linear map does.
    compiled : Rules, optional
        Rules for sweeps that record nothing; see `fastbp._core.compiled`.
    of_square : callable, optional
        The square of the value from that of the operand; of what moves elements the map itself.
    pattern : callable
        Which elements depend on which: one of `fastbp.rules.patterns`.
    moving : callable
        The same where static arguments are computed from values; by default all on all.
    local, plan, batch, direct, samples
        As in `general`. Without `batch` axes in front pass through where many members are computed.

    Returns
    -------
    Op
    """

    def jvp(t, ans, x, **static):
        if tangent is not None and type(t) is np.ndarray:
            return tangent(t, **static)
        return op(t, **static)

    def moved(square, **static):
        return op(square, **static)

    if of_square is None and pattern is patterns.moves:
        of_square = moved
    op = _add(
        name,
        apply,
        nin=1,
        vjp=(transpose,),
        jvp=(jvp,),
        compiled=compiled,
        of_square=of_square,
        pattern=pattern,
        moving=moving,
        saves=saves,
        local=local,
        plan=plan,
        batch=batch,
        direct=direct,
        samples=samples,
        source=source,
        kind="linear",
    )
    return op


def general(
    name,
    forward,
    *,
    nin,
    vjp,
    jvp=None,
    saves=None,
    nout=1,
    constants=(),
    objects=(),
    promotes=(),
    residuals=False,
    compiled=None,
    writes=False,
    coefficients=None,
    squared=None,
    pattern=None,
    moving=None,
    local=None,
    plan=None,
    batch=None,
    direct=(),
    free=None,
    samples=None,
    source="",
):
    """Add an operation with explicit rules; see `fastbp._core.graph.Op` for their forms.

    Parameters
    ----------
    name : str
    forward : callable
        ``forward(*operands, **static)`` on plain arrays.
    nin : int
        Number of operands; -1 for any.
    vjp, jvp : tuple of callable or callable
        One function an operand, or a joint one. Without a JVP the engine derives it from the VJP
        (at some cost).
    saves : tuple, optional
        Operand positions and "ans" that the rules read; by default all operands and the answer.
        Of several outputs ("ans", k) is one.
    nout : int
        Number of outputs, of which `forward` returns a tuple; -1 for any.
    constants, objects : tuple of int
        Outputs without derivative, and operands that may be such: any object.
    promotes : tuple of int
        Operands that the engine brings to one dtype, as NumPy promotes them.
    residuals : bool
        Whether `forward` returns a pair: its value, and what the rules get as ``residuals=``; see
        `fastbp._core.graph.Op`.
    compiled : Rules, optional
        Rules for sweeps that record nothing; see `fastbp._core.compiled`.
    writes : bool
        Whether the value is the first operand with the others written into it.
    coefficients : {"fixed", "operands", "values"}, optional
        What a zero among the coefficients of the rules means; see `fastbp._core.graph.Op`.
    squared : callable, optional
        The square of the value as another function; see there, too.
    pattern : callable or tuple of callable
        Which elements depend on which: one of `fastbp.rules.patterns`, or one for each output.
    moving : callable
        As in `linear`.
    local : callable, optional
        The derivative by one operand as labels and few small factors, where it has that form: one
        of `fastbp.rules.local`.
    plan : callable, optional
        How a compiled plan computes it: one of `fastbp.rules.plans`; otherwise it calls `forward`.
    batch : callable, optional
        How it is applied to many members at once: one of `fastbp.rules.batching`; otherwise to one
        after the other.
    direct : tuple of str, optional
        For each operand what its VJP computes from the cotangent ``g``, in a few words; the last
        one stands for all that follow.
    free : callable, optional
        ``free(ans, *operands, **static)``, tangents along what nothing fixes, as the vectors of a
        basis; see `fastbp._core.graph.Op`.
    samples : callable, optional
        ``samples(rng)`` returns calls for the tests, as in `implements`, of an operation that no
        function of the table records.
    source : str
        Where the formula is from.

    Returns
    -------
    Op
    """
    if saves is None:
        saves = (*range(nin if nin >= 0 else 30), "ans")
    return _add(
        name,
        forward,
        nin=nin,
        vjp=vjp,
        jvp=jvp,
        nout=nout,
        constants=constants,
        objects=objects,
        promotes=promotes,
        residuals=residuals,
        compiled=compiled,
        writes=writes,
        coefficients=coefficients,
        squared=squared,
        pattern=pattern,
        moving=moving,
        saves=saves,
        local=local,
        plan=plan,
        batch=batch,
        direct=direct,
        free=free,
        samples=samples,
        source=source,
        kind="general",
    )


def _add(name, forward, *, samples=None, **facts):
    if name in OPS:
        raise ValueError(f"an operation named {name} is in the table already")
    frame = sys._getframe(1)
    while frame.f_globals is globals() or "WRITES_ROWS" in frame.f_globals:
        frame = frame.f_back
    facts["title"] = _title(name, facts.get("namespace"))
    OPS[name] = op = Op(name, forward, home=frame.f_globals["__name__"], **facts)
    if samples is not None:
        SAMPLES[name] = samples
    return op


def _title(name, namespace=None):
    """Return the name of an operation in messages, with its module where users find it in one."""
    if namespace not in (None, "numpy"):
        return f"{namespace}.{name}"
    if _is_of_numpy(name):
        return f"numpy.{name}"
    if name.startswith(("recurrent.", "sparse.")):
        return f"fastbp.{name}"
    return name if namespace is None else f"fastbp.numpy.{name}"


def _is_of_numpy(name):
    found = np
    for part in name.split("."):
        found = getattr(found, part, None)
    return callable(found)


# What has no rows of its own, but constants, refusals, and distributions.
_BESIDE = (
    "fastbp.rules.integrate.quadrature",
    "fastbp.rules.interpolate.piecewise",
    "fastbp.rules.interpolate.scattered",
    "fastbp.rules.interpolate.splines",
    "fastbp.rules.stats.continuous",
    "fastbp.rules.stats.discrete",
    "fastbp.rules.stats.multivariate",
)


def load_all():
    """Import the families that are imported late: the table is complete then."""
    for module in (*LATE, *_BESIDE):
        importlib.import_module(module)


def load(room):
    """Import the rows of a module of SciPy's."""
    for module in _OF_SCIPY[room].split():
        importlib.import_module(f"fastbp.rules.{room}.{module}")


def _as_tuple(x):
    return x if isinstance(x, tuple) else (x,)


def operation(name, home):
    """Return an operation by its name and the module of its row: what a pickled one is."""
    if name not in OPS:
        importlib.import_module(home)
    return OPS[name]


def _reduced(op):
    return (operation, (op.name, op.info["home"])) if OPS.get(op.name) is op else op.__reduce__()


copyreg.pickle(Op, _reduced)


def implements(
    *functions,
    samples,
    method=None,
    name=None,
    reduce=None,
    accumulate=None,
    joins=False,
    total=None,
    no_axes=None,
    kinks="",
    layout=None,
):
    """Let a function stand for NumPy functions when their arguments are Variables.

    In `fastbp.numpy` the function is called directly if an argument is a Variable, and through
    NumPy otherwise: so it only sees calls that have a Variable among their arguments,
    unless it stands for no NumPy function.

    Parameters
    ----------
    *functions : callable
        NumPy functions (NEP 18) with the signature of the decorated one; may be empty.
    samples : callable
        ``samples(rng)`` returns calls ``(args, kwargs)`` for the tests: every float64 array in
        them, also inside lists, is differentiated; together they reach every option.
    method : str or tuple of str, optional
        The ndarray methods that it also is.
    name : str, optional
        Its name in `fastbp.numpy`; by default that of the first NumPy function, or its own.
        NumPy's other names for the same functions (``concat``, ``amax``) are added.
    reduce, accumulate : numpy.ufunc, optional
        The ufunc whose ``reduce`` or ``accumulate`` it also is (their default axis is 0).
    joins : bool or "nested"
        Whether the first argument is a sequence of arrays, not one array; of lists of them.
    total : callable, optional
        ``total(f)`` is called in its place: a `graph.Total`, which records at once what takes all
        elements of one Variable.
    no_axes : {"number", "array", "same"}, optional
        What NumPy's result is where it has no axes: a number, which no write changes, an array, or
        what the first argument is. By default it is as what `f` computes last leaves it.
    kinks : str
        The convention where the derivative does not exist, where no elementwise row states it.
    layout : {"C", "K", "A"}, optional
        The order of NumPy's results in memory, which are no views, where it is not by itself that
        of the function's: C, that of the axes of the first operand (of the shape of the result),
        or Fortran's where that is the operand's and C's is not.
    """

    def register(f):
        own = f
        f = f if layout is None else _laid_out(f, layout)
        f = f if total is None else total(f)
        f = f if no_axes is None else without_axes(f, no_axes)
        public = name or (functions[0].__name__ if functions else f.__name__)
        function = _public(f, functions[0], public, joins) if functions else _naming(f, public)
        for numpy_function in functions:
            graph.bind_function(numpy_function, f)
            for alias in _numpy_names().get(numpy_function, ()):
                FUNCTIONS[alias] = function
                if kinks:
                    KINKS[alias] = kinks
        for m in _as_tuple(method) if method else ():
            graph.bind_method(m, f)
        for kind, ufunc in (("reduce", reduce), ("accumulate", accumulate)):
            if ufunc is not None:
                takes_dtype = "dtype" in inspect.signature(own).parameters
                graph.bind_ufunc_method(ufunc, kind, _along_first_axis(f, kind, takes_dtype))
        FUNCTIONS[public] = function
        SAMPLES[public] = samples
        if kinks:
            KINKS[public] = kinks
        graph.bind(public, f)
        return f if functions else function

    return register


def _laid_out(f, layout):
    @functools.wraps(f)
    def function(*args, **kwargs):
        result = f(*args, **kwargs)
        x = args[0] if args else next(iter(kwargs.values()), None)
        if layout == "C" or type(x) is not graph.Variable:
            return graph.in_order(result, "C")
        if layout == "K":
            return graph.in_order_of(result, x)
        flags = graph.flags_of(x)
        fortran = flags.f_contiguous and not flags.c_contiguous
        return graph.in_order(result, "F" if fortran else "C")

    return function


def without_axes(f, kind):
    """Return a function whose results of no axes are numbers or arrays, as NumPy's are."""

    @functools.wraps(f)
    def settled(*args, **kwargs):
        found = f(*args, **kwargs)
        array = kind == "array"
        if kind == "same":
            array = not graph.is_number(args[0] if args else next(iter(kwargs.values())))
        return graph.as_cell(found) if array else graph.as_number(found)

    return settled


_SPECIAL = ("log_softmax", "logsumexp", "softmax")  # beside NumPy's names, of `scipy.special`


def _naming(f, public):
    """Return a function whose errors name it as users find it."""
    name = public if public.startswith("scipy.") else f"fastbp.{public}"
    if "." not in public:
        name = f"scipy.special.{public}" if public in _SPECIAL else f"fastbp.numpy.{public}"

    @functools.wraps(f)
    def function(*args, **kwargs):
        try:
            return f(*args, **kwargs)
        except FastbpError as error:
            named(error, name)
            raise

    return function


def _public(f, numpy_function, name, joins):
    @functools.wraps(f)
    def function(*args, **kwargs):
        if args and type(args[0]) is graph.Variable:
            try:
                return f(*args, **kwargs)
            except FastbpError as error:
                named(error, f"numpy.{name}")
                raise
        if args and not joins and isinstance(args[0], (list, tuple)) and has_variable(args[0]):
            return f(FUNCTIONS["array"](args[0]), *args[1:], **kwargs)
        if args and joins is True and isinstance(args[0], (list, tuple)):
            args = ([_with_rows(x) for x in args[0]], *args[1:])
        if kwargs or len(args) > 1:  # NumPy does not look for them among all of its arguments
            for x in (*args[1:], *kwargs.values()):
                if type(x) is graph.Variable:
                    return f(*args, **kwargs)
        return on_plain(*args, **kwargs)

    on_plain = graph.Maker(numpy_function)

    first, _, rest = inspect.getdoc(f).partition("\n")
    function.__doc__ = f"{first}\n\nDifferentiable: recorded on Variables.\n{rest}"
    # Where it is found, so that it can be pickled.
    namespace, _, function.__qualname__ = f"numpy.{name}".rpartition(".")
    function.__module__ = f"fastbp.{namespace}"
    return function


def _with_rows(x):
    """Return an item of what is joined, an array if it is a list with Variables."""
    return FUNCTIONS["array"](x) if isinstance(x, (list, tuple)) and has_variable(x) else x


def _along_first_axis(f, kind, takes_dtype):
    def method(a, axis=0, dtype=None, **kwargs):
        if takes_dtype:
            kwargs["dtype"] = dtype
        elif dtype is not None:  # extremes of what is converted, as of a ufunc's loop
            a = FUNCTIONS["astype"](a, dtype)
        if axis is None and kind == "accumulate" and np.ndim(a) > 1:
            raise ValueError("accumulate does not allow multiple axes")  # as NumPy says
        return f(a, axis=axis, **kwargs)

    return method


@functools.cache
def _numpy_names():
    """All names of each NumPy function: ``concat`` is ``concatenate``."""
    names = {}
    for public, function in vars(np).items():
        if callable(function) and not isinstance(function, type) and not public.startswith("_"):
            names.setdefault(function, []).append(public)
    return names


def nondifferentiable(*functions, why, methods=(), reads=True):
    """Let functions that are constant almost everywhere see the values of Variables.

    No derivative flows; into a Variable for the result, ``out=``, a constant is written. Those that
    ask for shapes and dtypes only, and do not read the values, say ``reads=False``.
    """
    of = graph.values_of if reads else graph.arrays_of
    for function in functions:
        CONSTANTS[function.__name__] = why

        @functools.wraps(function)
        def on_values(*args, _function=function, **kwargs):
            if "out" in kwargs or len(args) > 1:
                rest, named, out = graph.without_out(_function, args, kwargs)
                if has_variable(out):
                    return _constant_into(out, _function, rest, named)
            if reads and graph.keeps(args, kwargs):
                return graph.called(_function, args, kwargs)
            return _function(*map(of, args), **{k: of(v) for k, v in kwargs.items()})

        graph.bind_function(function, on_values)
        if not reads:
            graph.of_shapes(function)
        if function.__name__ in methods:
            graph.bind_method(function.__name__, on_values)


def _constant_into(out, function, args, kwargs):
    """Write what a function without derivative gives into a Variable, as NumPy does."""
    given = (out, function, "__call__", args, kwargs)
    if graph.keeps(given):
        value = graph.passive_call(graph.computed_into, *given)
    else:
        named = {k: graph.values_of(x) for k, x in kwargs.items()}
        value = graph.computed_into(*map(graph.values_of, given[:4]), named)
    where = kwargs.get("where", True) if isinstance(function, np.ufunc) else True
    np.copyto(out, value, where=where)
    return out


def creates(*functions, like=()):
    """Let functions that make arrays make such as recorded values can be written into.

    They do so inside of recorded functions in `fastbp.numpy`, and where NumPy hands them a
    Variable: those of `like`, ``numpy.zeros_like(x)``, read its shape and dtype; for the others it
    stands at ``numpy.zeros(3, like=x)`` only. No derivative flows.
    """
    for function in (*functions, *like):

        @functools.wraps(function)
        def on_values(*args, _function=function, **kwargs):
            given = args
            if _function in like:
                args = (graph.array_of(args[0]), *args[1:])
            args = tuple(map(graph.unfilled, args))
            if has_variable((args, tuple(kwargs.values()))):
                raise graph.refusal("rule", _function)
            made = graph.fillable(_function(*args, **kwargs))
            if type(made) is np.ndarray and given and graph.is_passive(given[0]):
                return graph.called(_function, given, kwargs)  # can be written into as that can
            return made

        graph.bind_function(function, on_values)
        if function in like:
            graph.of_shapes(function)
        for name in _numpy_names()[function]:
            CREATORS[name] = made = graph.Maker(function)
            made.__module__, made.__qualname__ = "fastbp.numpy", name


def attribute(module, name, public):
    """Return a name of NumPy's or SciPy's, for a module of ours that mirrors it.

    Raises
    ------
    AttributeError
        Naming `public`, our module, if there is no such name.
    """
    try:
        return getattr(module, name)
    except AttributeError as error:
        text = str(error)
        if text.lower().startswith(f"module {module.__name__!r} has no attribute"):
            text = f"module {public!r} has no attribute {name!r}"
        raise AttributeError(text) from None  # Python adds what there is of a similar name


def refuse(function, **given):
    """Raise `NoRuleError` for an argument that is neither at its default nor supported.

    Each keyword is a pair (value, default).
    """
    for argument, (value, default) in given.items():
        if value is not default and not (np.isscalar(value) and value == default):
            instead = f": write out[...] = numpy.{function}(...)" if argument == "out" else ""
            raise NoRuleError(
                f"numpy.{function}: the argument {argument}= is not supported for "
                f"Variables{instead}"
            )
