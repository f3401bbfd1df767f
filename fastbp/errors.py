"""The exceptions of fastbp: one small family, each also the built-in a NumPy user would catch."""

__all__ = [
    "DTypeError",
    "DegenerateError",
    "FastbpError",
    "FrozenValueError",
    "MappedValueError",
    "NoFunctionError",
    "NoRuleError",
    "NotBuiltError",
    "PlanFileError",
    "ReadOnlyError",
    "RecomputedError",
    "ReturnedVariableError",
    "SettingError",
    "ShapeError",
    "UnconnectedError",
    "UnconnectedWarning",
]


class FastbpError(Exception):
    """Base class of every error that fastbp raises on purpose."""


class ShapeError(FastbpError, ValueError):
    """Shapes do not fit.

    Operands of an operation, a cotangent and its output, a non-scalar loss.
    """


class DTypeError(FastbpError, TypeError):
    """A dtype that cannot be differentiated or has no kernel: integers, objects, strings."""


class DegenerateError(FastbpError, ValueError):
    """A derivative that does not exist at a point.

    Of eigenvectors whose eigenvalues are equal, or of the phase of complex ones.
    """


class FrozenValueError(FastbpError, TypeError):
    """A value that depends on arguments would be frozen into a compiled function."""


class MappedValueError(FastbpError, TypeError):
    """A value that depends on the member of a batch would be that of the first one for all."""


class NoFunctionError(FastbpError, RuntimeError):
    """A plan from a file was called where the function that it was made of is needed.

    With arguments of another structure, or with values for which a plan cannot tell the result.
    """


class NoRuleError(FastbpError, TypeError, NotImplementedError):
    """A function or option without a derivative rule was applied to a Variable."""


class ReadOnlyError(FastbpError, ValueError):
    """A write into a view that NumPy makes read-only: a diagonal, a broadcast array."""


class RecomputedError(FastbpError, RuntimeError):
    """A function computed something else when it ran again for its derivative.

    In a checkpoint, or as an equation or an integrand.
    """

    WHY = (
        "the function returned other numbers when it ran again for its derivative: something that "
        "it reads from its surroundings has changed since, as a variable of a loop does, or an "
        "array that was written into; give it such things as arguments"
    )


class ReturnedVariableError(FastbpError, RuntimeError):
    """A function that a solver calls with plain numbers returned a Variable.

    Neither a TypeError nor a ValueError: SciPy would say of these that the function must return a
    scalar.
    """


class UnconnectedError(FastbpError, ValueError):
    """An output does not depend on an input, and ``unconnected="raise"`` was asked for."""


class UnconnectedWarning(UserWarning):
    """A result does not depend on an argument that it is differentiated by.

    Its derivative is zero: meant, or lost on the way. Shown once for each line of the user's.
    """


class NotBuiltError(FastbpError, ImportError):
    """The compiled core is missing.

    The package is imported from a source tree that was not built.
    """


class PlanFileError(FastbpError, ValueError):
    """A plan that no file can hold, or a file that holds none: damaged, or of another version."""


class SettingError(FastbpError, ValueError):
    """A variable of the environment, such as ``FASTBP_SIMD``, has a value that nobody knows."""


def named(error, name, title=""):
    """Let the message of an error name the function that was called, as its caller wrote it.

    Parameters
    ----------
    error : FastbpError
        It is changed if its message has not the name.
    name : str
        With its module: ``"numpy.roll"``.
    title : str
        The name that stands there instead of it.

    Returns
    -------
    FastbpError
    """
    text, last = str(error), name.rpartition(".")[2]
    if name in text:
        return error
    if title and title in text:
        text = text.replace(title, name)
    elif text.startswith((f"{last}:", f"{last} ")):
        text = name + text.removeprefix(last)
    else:
        text = f"{name}: {text}"
    error.args = (text,)
    return error
