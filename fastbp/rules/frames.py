"""Which function of NumPy's or SciPy's the frames of a call belong to, by its public name."""

import inspect
import sys
import types

import numpy as np

__all__ = ["asking_function", "given", "is_theirs", "name_in_frame", "name_of", "public_part"]


def name_of(function):
    """Return the name by which a user knows a function or ufunc, with its module."""
    name = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None)
    if isinstance(function, np.ufunc):
        owners = [np, sys.modules.get("scipy.special")]
        module = next((o.__name__ for o in owners if getattr(o, name, None) is function), None)
        return f"{module}.{name}" if module else name
    owner = getattr(function, "__self__", None)
    name = f"{owner.__name__}.{name}" if isinstance(owner, type) else name
    return f"{public_part(module or 'numpy')}.{name}"


def asking_function(frame):
    """Return the public name of the function of NumPy or SciPy that the user's code has called.

    It may be many calls away from `frame`, where the Variable was met. None: it was the user's own
    code, or a compiled function that this called.
    """
    frames = []
    while frame is not None and is_theirs(frame):
        frames.append(frame)
        frame = frame.f_back
    for outer in reversed(frames):
        name = name_in_frame(outer)
        if name is not None:
            return name
    return public_part(frames[-1].f_globals["__name__"]) if frames else None


def is_theirs(frame):
    """Say whether a frame runs code of a library that may meet Variables unawares."""
    return _is_of_theirs(frame.f_globals.get("__name__"))


def _is_of_theirs(module):
    return (module or "").partition(".")[0] in _LIBRARIES


_LIBRARIES = ("numpy", "scipy", "pandas", "xarray")


def public_part(module):
    """Return the part of a module's name in front of the first private one."""
    parts = module.split(".")
    private = [k for k, part in enumerate(parts) if part.startswith("_")]
    return ".".join(parts[: private[0]] if private else parts)


def name_in_frame(frame):
    """Return the public name of what a frame runs; None for private functions and wrappers."""
    code = frame.f_code
    name, owner = code.co_name, frame.f_locals.get("self")
    module = frame.f_globals["__name__"]
    # Of a wrapper the function that it wraps is one of its free variables.
    wrapped = [frame.f_locals.get(variable) for variable in code.co_freevars]
    wrapped = [f for f in wrapped if type(f) is types.FunctionType and _is_of_theirs(f.__module__)]
    if owner is not None:
        if wrapped and not hasattr(owner, name):
            name = wrapped[0].__name__
        return _method_name(module, name, owner, type(owner))
    kind = frame.f_locals.get("cls")
    if name == "__new__" and code.co_argcount:
        kind = frame.f_locals.get(code.co_varnames[0])
    if isinstance(kind, type):
        return _method_name(module, name, None, kind)
    found = _function_name(module, name)
    if found is None:
        names = [_function_name(f.__module__, f.__name__) for f in wrapped]
        found = next(filter(None, names), None)
    return found or _static_name(module, code.co_qualname)


def _static_name(module, qualified):
    """Return the name of a static method of a public class; None if there is no such class."""
    kind, _, name = qualified.rpartition(".")
    found = None if not kind or name.startswith("_") else _function_name(module, kind)
    return found and f"{found}.{name}"


def _function_name(module, name):
    if not name.startswith("_"):
        for known in _namespaces(module):
            if callable(vars(known).get(name)):
                return f"{known.__name__}.{name}"
    return None


def _method_name(module, name, owner, kind):
    """Return the name of a method by that of its object, as scipy.stats.norm, or its class."""
    suffix = "" if name in ("__init__", "__new__", "__call__", "__getitem__") else f".{name}"
    if module.startswith("scipy.stats."):
        owner = getattr(owner, "dist", owner)  # of a distribution with fixed parameters
        kind = kind if owner is None else type(owner)
    public = [(f"{m.__name__}.{key}", x) for m in _namespaces(module) for key, x in vars(m).items()]
    same = [
        key
        for key, x in public
        if owner is not None and x is owner and not key.rpartition(".")[2].startswith("_")
    ]
    alike = [key for key, x in public if x is kind or (type(x) is kind and name != "__init__")]
    if same or alike:
        # numpy.matrix rather than numpy.matrixlib.defmatrix.matrix
        found = min(same or alike, key=lambda key: key.count("."))
        return f"{found}{suffix}"
    if name.startswith("_") and name not in ("__init__", "__new__"):
        return None
    bases = [key for base in kind.__mro__[1:-1] for key, x in public if x is base]
    if bases:  # of a private class, as StateSpace makes them
        return f"{bases[0]}{suffix}"
    return None if name.startswith("_") else f"{public_part(module)}.{kind.__name__}.{name}"


def _namespaces(module):
    """Return the public modules in which a user may have found what a module defines."""
    public = public_part(module)
    library = public.partition(".")[0]
    names = [public, library] if library in ("numpy", "scipy") else [library]
    if module.startswith("numpy._core.records"):
        names.insert(0, "numpy.rec")
    if public == "numpy.lib":
        names += ["numpy.lib.stride_tricks", "numpy.lib.scimath"]
    return [sys.modules[name] for name in names if name in sys.modules]


def given(frame):
    """Return the values of a frame's arguments, and those in containers of these."""
    code = frame.f_code
    has_more = bool(code.co_flags & inspect.CO_VARARGS) + bool(
        code.co_flags & inspect.CO_VARKEYWORDS
    )
    count = code.co_argcount + code.co_kwonlyargcount + has_more
    values = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    values += [v for items in values if isinstance(items, (list, tuple)) for v in items]
    return values + [v for items in values if isinstance(items, dict) for v in items.values()]
