"""Running a function's code with NumPy's and SciPy's names bound to fastbp's namespaces.

A twin of a function has its code, and globals and closure cells of its own: there what is NumPy's
or SciPy's is replaced by its counterpart, helpers of the same module by their twins. Neither the
module nor NumPy is touched, so other callers and threads see nothing of it.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import math
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastbp import tree
from fastbp._core import graph
from fastbp.derived import Derived, derived, named

__all__ = ["unmodified"]


def unmodified(f: Any, *, also: Any = ()) -> Any:
    """Let code with plain ``numpy`` run as it is where it is differentiated.

    Inside of it, ``np.array([x[0], 1.0])`` of recorded values and ``out = np.zeros(n)`` followed by
    ``out[i] = x[0]`` work, which NumPy itself cannot do for an array that is not its own.

    Parameters
    ----------
    f : callable
        A function written in Python, a method, a `functools.partial` of one, a derivative of one
        by fastbp; or a class, whose methods are replaced, which is returned.
    also : module or sequence of modules
        Modules whose functions are treated like those of the module in which `f` is.

    Returns
    -------
    callable
        Like `f`. Where nothing is recorded, it is `f`. Elsewhere it runs the code of `f`, and of
        the functions of the same module that this calls or is given as arguments, with ``numpy``,
        ``scipy``, ``math``, and what was imported from them under any name, bound to
        `fastbp.numpy` and `fastbp.scipy`, also for imports inside of functions.

    Raises
    ------
    TypeError
        If there is no Python code to run: of a builtin, a ufunc, a compiled function.

    Notes
    -----
    NumPy and the module stay as they are; names are looked up at each call, and what the code
    assigns by ``global`` is assigned in the module after the call. Not reached are: functions of
    modules that are not named in `also`; methods of classes, if the class is not decorated; helpers
    in containers, or behind decorators that are not fastbp's; arrays that come from elsewhere, and
    from their methods, as ``data.copy()``. There a recorded value that meets a plain array raises,
    as always: nothing is lost in silence. A recorded value is no instance of ``np.ndarray``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def euler(k, n=4):
    ...     u = np.zeros(n + 1)
    ...     u[0] = 1.0
    ...     for i in range(n):
    ...         u[i + 1] = u[i] - k * u[i] / n
    ...     return u[n]
    >>> bp.grad(bp.unmodified(euler))(0.0)
    np.float64(-1.0)
    """
    modules = also if isinstance(also, (list, tuple)) else (also,)
    for module in modules:
        if not isinstance(module, types.ModuleType):
            raise TypeError(f"unmodified: also must be modules, not a {type(module).__name__}")
    if isinstance(f, type):
        return _with_methods(f, modules)
    if function_in(f) is None:
        raise TypeError(
            f"unmodified: a function written in Python is needed, not a {type(f).__name__}: "
            "of others there is no code to run; give them a rule by fastbp.custom_rule"
        )
    g = derived(_call, (f, Twins(f, modules)), unmodified, f, also=tuple(modules))
    return named(g, "unmodified", f)


def as_recorded(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return `f` with our namespaces, where nothing is recorded too: it may take derivatives."""
    if function_in(f) is None:
        return f
    twins = Twins(f, ())
    twins.records = True
    return named(derived(_call, (f, twins), unmodified, f), "unmodified", f)


def _call(f: Callable[..., Any], twins: Twins, /, *args: Any, **kwargs: Any) -> Any:
    recorded = graph.is_recording() or _any_variable(args, kwargs)
    if not recorded and not twins.records:
        return f(*args, **kwargs)
    ours = tuple(map(twins.argument, args))
    named_ours = {name: twins.argument(x) for name, x in kwargs.items()}
    twin = twins.ready(f)
    try:
        if recorded:
            return graph.recorded_call(twin, ours, named_ours)
        return twin(*ours, **named_ours)
    finally:
        twins.write_back()


def _any_variable(args: Any, kwargs: Any) -> bool:
    return any(type(x) is graph.Variable for x in tree.flatten((args, kwargs))[0])


def function_in(f: Any) -> types.FunctionType | None:
    """Return the function that a method, partial or derived function calls; None if it is none."""
    while not isinstance(f, types.FunctionType):
        if isinstance(f, types.MethodType):
            f = f.__func__
        elif isinstance(f, Derived):
            f = f.__wrapped__
        elif isinstance(f, functools.partial):
            f = f.func
        else:
            return None
    return f


def _with_methods(cls: type, modules: Any) -> type:
    """Replace the functions of a class, whatever they are wrapped in as attributes."""
    for name, value in list(vars(cls).items()):
        if isinstance(value, types.FunctionType):
            setattr(cls, name, unmodified(value, also=modules))
        elif isinstance(value, (staticmethod, classmethod)):
            if isinstance(value.__func__, types.FunctionType):
                setattr(cls, name, type(value)(unmodified(value.__func__, also=modules)))
        elif isinstance(value, property):
            fget, fset, fdel = (
                part and unmodified(part, also=modules)
                for part in (value.fget, value.fset, value.fdel)
            )
            setattr(cls, name, property(fget, fset, fdel, value.__doc__))
    return cls


# ---- twins

_WRAPPERS = (types.MethodType, functools.partial, Derived)


class Twins:
    """The twins of a function and of those that it calls, and their globals."""

    def __init__(self, f: Any, modules: Any) -> None:
        self.records = isinstance(f, Derived)  # a derivative, which records on its own
        self.spaces: dict[int, _Space] = {}  # by the id of a module's dictionary
        # Weak: a function may be an argument that is made anew for every call.
        self.made: weakref.WeakKeyDictionary[types.FunctionType, _Twin]
        self.made = weakref.WeakKeyDictionary()
        self.rebuilt: dict[int, tuple[Any, Any]] = {}  # partials and the like, by id
        function = function_in(f)
        assert function is not None
        for names in (function.__globals__, *[module.__dict__ for module in modules]):
            self.spaces[id(names)] = _Space(names, self)

    def ready(self, f: Any) -> Any:
        """Return the twin of `f`, with all names as they are now."""
        twin = self.counterpart(f)
        known = -1
        while known != len(self.made):  # names may lead to further functions
            known = len(self.made)
            for made in list(self.made.values()):
                made.update()
            for space in self.spaces.values():
                space.update()
        return twin

    def assigned(self) -> Iterator[tuple[Any, Any, str, Any]]:
        """Yield what the code has assigned by ``global`` and ``nonlocal``.

        As (container, key, name, given): where it would be without us, the variable's name, and
        what it was given in its place.
        """
        for part in self._parts():
            yield from part.assigned()

    def write_back(self) -> None:
        """Assign what the code has assigned where it would be without us."""
        for part in self._parts():
            part.write_back()

    def _parts(self) -> list[_Space | _Twin]:
        return [*self.spaces.values(), *self.made.values()]

    def builtins(self) -> dict[str, Any]:
        """Return what stands for builtins of Python, by name."""
        return {"isinstance": _is_instance}

    def replaces(self, x: Any) -> bool:
        """Say whether something else may stand for a value of a cell."""
        return callable(x) or isinstance(x, types.ModuleType)

    def counterpart(self, x: Any) -> Any:
        """Return what stands for a value of a global name, a cell or a default."""
        kind = type(x)
        if kind is types.FunctionType:
            if id(x.__globals__) not in self.spaces:
                return self.of_others(x)
            if x not in self.made:
                self.made[x] = _Twin(x, self)
            return self.made[x].function
        if kind is types.ModuleType:
            return _Module(x, self) if id(vars(x)) in self.spaces else self.of_others(x)
        if kind in _WRAPPERS:
            if id(x) not in self.rebuilt:
                self.rebuilt[id(x)] = (x, self._rebuilt(x))
            return self.rebuilt[id(x)][1]
        return self.of_others(x)

    def of_others(self, x: Any) -> Any:
        """Return what stands for a value that is not the code of these modules."""
        if isinstance(x, types.ModuleType):
            return _namespace(x)
        return _counterparts().get(id(x), x) if callable(x) or hasattr(x, "__getitem__") else x

    def argument(self, x: Any) -> Any:
        """Return what stands for an argument of a call: functions are replaced."""
        if type(x) is types.FunctionType:
            return self.counterpart(x)
        return self._rebuilt(x) if type(x) in _WRAPPERS else x

    def _rebuilt(self, x: Any) -> Any:
        if isinstance(x, types.MethodType):
            return types.MethodType(self.counterpart(x.__func__), x.__self__)
        if isinstance(x, Derived):
            if x.func is _call:  # of another module: it has twins of its own
                twin = self.counterpart(x.args[0])
                return x if twin is x.args[0] else twin
            x = x._made
            args = tuple(map(self.counterpart, x.args))
            return x.func(*args, **x.keywords)
        args = tuple(map(self.counterpart, x.args))
        keywords = {name: self.counterpart(value) for name, value in x.keywords.items()}
        made = functools.partial(self.counterpart(x.func), *args, **keywords)
        vars(made).update(vars(x))  # as functools.update_wrapper gives it
        return made


class _Twin:
    """A function with the code of another one, and names and cells of its own."""

    def __init__(self, f: types.FunctionType, twins: Twins) -> None:
        self.twins = twins
        self.cells = [(cell, self._own_cell(cell)) for cell in f.__closure__ or ()]
        space = twins.spaces[id(f.__globals__)]
        space.use(f.__code__)
        self.function = types.FunctionType(
            f.__code__,
            space.twin,
            f.__name__,
            None,
            tuple(own for _, own in self.cells) if f.__closure__ else None,
        )
        self.function.__qualname__ = f.__qualname__
        self.function.__dict__ = f.__dict__  # the very same: attributes that are assigned
        self.function.__doc__ = f.__doc__
        self.original = weakref.ref(f)
        self.given: dict[str, Any] = {}  # by the names of cells

    def update(self) -> None:
        """Bring defaults and cells up to date."""
        f, counterpart = self.original(), self.twins.counterpart
        if f is None:
            return
        self.function.__defaults__ = f.__defaults__ and tuple(map(counterpart, f.__defaults__))
        if f.__kwdefaults__:
            self.function.__kwdefaults__ = {k: counterpart(v) for k, v in f.__kwdefaults__.items()}
        for name, cell, own in self._own_cells():
            x = _content(cell)
            if x is not _EMPTY:
                own.cell_contents = self.given[name] = counterpart(x)

    def assigned(self) -> Iterator[tuple[Any, Any, str, Any]]:
        """Yield the cells in which something else is than was given; see `Twins.assigned`."""
        for name, cell, own in self._own_cells():
            given = self.given.get(name, _EMPTY)
            if _content(own) is not given:
                yield cell, "cell_contents", name, given

    def write_back(self) -> None:
        """Assign in the function's cells what was assigned here."""
        for name, cell, own in self._own_cells():
            now = _content(own)
            if now is self.given.get(name, _EMPTY):
                continue
            if now is _EMPTY:
                del cell.cell_contents, self.given[name]
            else:
                cell.cell_contents = self.given[name] = now

    def _own_cells(self) -> Iterator[tuple[str, types.CellType, types.CellType]]:
        for name, (cell, own) in zip(self.function.__code__.co_freevars, self.cells, strict=True):
            if own is not cell:
                yield name, cell, own

    def _own_cell(self, cell: types.CellType) -> types.CellType:
        """Return the cell itself where it holds a value, which ``nonlocal`` may assign."""
        x = _content(cell)
        return types.CellType() if x is _EMPTY or self.twins.replaces(x) else cell


_EMPTY = object()  # stands for what a name or a cell without a value has


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY


class _Space:
    """The global names of a module for twins: a dictionary of its own, kept up to date."""

    def __init__(self, names: dict[str, Any], twins: Twins) -> None:
        self.names, self.twins = names, twins
        self.twin = dict(names)
        self.twin["__builtins__"] = _builtins_of(self)
        self.given = dict(self.twin)  # what stands there as long as the code assigns nothing
        self.used: dict[str, Any] = {}  # what each name stood for when it was looked up
        self.assigns = False  # whether there is code that assigns any

    def use(self, code: types.CodeType) -> None:
        """Take in the global names of a function."""
        for part in codes(code):
            for name in part.co_names:
                self.used.setdefault(name, _EMPTY)
            self.assigns |= "globals" in part.co_names or any(
                x.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") for x in dis.get_instructions(part)
            )

    def update(self) -> None:
        """Look up the names again."""
        for name, before in list(self.used.items()):
            x = self.names.get(name, _EMPTY)
            if x is before:
                continue
            self.used[name] = x
            if x is _EMPTY:
                self.twin.pop(name, None)
                self.given.pop(name, None)
            else:
                self.twin[name] = self.given[name] = self.twins.counterpart(x)

    def assigned(self) -> Iterator[tuple[Any, Any, str, Any]]:
        """Yield the names that stand for something else than was given; see `Twins.assigned`."""
        names = [*self.given, *(self.twin.keys() - self.given.keys())] if self.assigns else []
        for name in names:
            given = self.given.get(name, _EMPTY)
            if self.twin.get(name, _EMPTY) is not given:
                yield self.names, name, name, given

    def write_back(self) -> None:
        """Assign in the module what was assigned here."""
        for _, name, _, _ in list(self.assigned()):
            if name in self.twin:
                self.names[name] = self.given[name] = self.twin[name]
            else:
                self.names.pop(name, None)
                self.given.pop(name, None)
            self.used[name] = object()  # to be looked up again


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a function's code, and that of the functions and classes defined in it."""
    yield code
    for x in code.co_consts:
        if isinstance(x, types.CodeType):
            yield from codes(x)


class _Module:
    """A module of the user's, as its twins see it."""

    def __init__(self, module: types.ModuleType, twins: Twins) -> None:
        self._module, self._twins = module, twins

    def __getattr__(self, name: str) -> Any:
        x = self._twins.counterpart(getattr(self._module, name))
        self._twins.ready(x)
        return x


def _is_instance(x: Any, kinds: Any) -> bool:
    """Do as `isinstance`, where a recorded value is an array, one without axes a number."""
    if isinstance(x, kinds):
        return True
    if type(x) is not graph.Variable and type(x) is not graph.Passive:
        return False
    array = graph.array_of(x)
    return issubclass(np.ndarray if array.ndim else array.dtype.type, kinds)


def _builtins_of(space: _Space) -> dict[str, Any]:
    """Return the builtins, with an import that finds counterparts."""
    given = space.names.get("__builtins__", builtins)
    names = dict(given if isinstance(given, dict) else vars(given))
    plain = names.get("__import__", builtins.__import__)

    def find(
        name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        module = plain(name, space.names, locals, fromlist, level)
        x = space.twins.counterpart(module)
        if isinstance(x, _Module):
            space.twins.ready(None)
        return x

    names["__import__"] = find
    names.update(space.twins.builtins())
    return names


# ---- what stands for NumPy, SciPy and math


@functools.cache
def _pairs() -> dict[str, str]:
    """Return our namespaces by the names of the modules that they stand for."""
    ours = importlib.import_module("fastbp.scipy").__all__
    series = importlib.import_module("fastbp.numpy.polynomial").__all__
    modules = (
        *("numpy", "numpy.linalg", "numpy.fft", "numpy.polynomial"),
        *[f"numpy.polynomial.{name}" for name in series],
        "scipy",
        *[f"scipy.{name}" for name in ours],
    )
    return {name: f"fastbp.{name}" for name in modules}


_MATH_NAMES = {
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "fabs": "absolute",
    "pow": "power",
    **{
        name: name
        for name in (
            "cbrt copysign cos cosh degrees exp exp2 expm1 fmod hypot isfinite isinf isnan log10 "
            "log1p log2 radians sin sinh sqrt tan tanh"
        ).split()
    },
}


@functools.cache
def _math() -> types.ModuleType:
    """Return `math` with functions that take recorded numbers, too."""
    from fastbp import numpy

    def log(x: Any, base: Any = None) -> Any:
        return numpy.log(x) if base is None else numpy.log(x) / numpy.log(base)

    found = types.ModuleType("math", math.__doc__)
    vars(found).update(vars(math))
    ours: dict[str, Any] = {"log": log}
    ours |= {name: getattr(numpy, theirs) for name, theirs in _MATH_NAMES.items()}
    for name, function in ours.items():
        if hasattr(math, name):
            setattr(found, name, _on_recorded(getattr(math, name), function))
    return found


def _on_recorded(plain: Any, ours: Any) -> Any:
    @functools.wraps(plain)
    def function(*args: Any) -> Any:
        return ours(*args) if graph.has_variable(args) else plain(*args)

    return function


def _namespace(module: types.ModuleType) -> Any:
    if module is math:
        return _math()
    pair = _pairs().get(module.__name__)
    if pair is None or sys.modules.get(module.__name__) is not module:
        return module
    return importlib.import_module(pair)


def _counterparts() -> dict[int, Any]:
    """Return, by id, what stands for the functions of NumPy, SciPy and math."""
    # What is not imported has no functions that anyone could hold: nor are our namespaces loaded.
    loaded = [name for name in _pairs() if name != "scipy" and name in sys.modules]
    return _found_in(tuple(loaded))


@functools.cache
def _found_in(modules: tuple[str, ...]) -> dict[int, Any]:
    pairs = [(sys.modules[name], importlib.import_module(_pairs()[name])) for name in modules]
    found = {}
    for source, target in [*pairs, (math, _math())]:
        for name in getattr(target, "__all__", None) or dir(target):
            x = getattr(source, name, None)
            if (callable(x) or hasattr(x, "__getitem__")) and not isinstance(x, str):
                ours = getattr(target, name)
                if not isinstance(ours, types.ModuleType):
                    found[id(x)] = ours
    return found
