"""Sets of elements: which ones are taken is a constant, what they are worth is not."""

import numpy as np

from fastbp._core.graph import passive
from fastbp.rules.numpy.order import EQUALS
from fastbp.rules.numpy.structural import as_operand
from fastbp.rules.table import implements


def _two(name, ar1, ar2, assume_unique):
    """Return the operands as vectors, without repetitions."""
    both = [np.ravel(as_operand(x, f"numpy.{name}: an operand")) for x in (ar1, ar2)]
    return both if assume_unique else [np.unique(x) for x in both]


def _samples(rng):
    x = np.array([0.5, -1.0, 2.0, 3.5])
    return [((x, [1.0, 0.25, 7.0]), {}), ((x, np.array([[2.25], [4.0]])), {})]


@implements(np.union1d, kinks=EQUALS, samples=_samples)
def union1d(ar1, ar2):
    """Arguments as in `numpy.union1d`."""
    return np.unique(np.concatenate(_two("union1d", ar1, ar2, True)))


def _known_unique(rng):
    return [*_samples(rng), ((np.array([0.5, 2.0]), [1.0, 0.25]), {"assume_unique": True})]


@implements(np.setxor1d, kinks=EQUALS, samples=_known_unique)
def setxor1d(ar1, ar2, assume_unique=False):
    """Arguments as in `numpy.setxor1d`."""
    both = np.sort(np.concatenate(_two("setxor1d", ar1, ar2, assume_unique)))
    value = passive(both)
    apart = np.concatenate([[True], value[1:] != value[:-1], [True]])
    return both[apart[1:] & apart[:-1]]


@implements(
    np.setdiff1d,
    kinks=EQUALS,
    samples=lambda rng: [
        ((rng.normal(size=(2, 2)), [1.0, 0.25]), {}),
        ((rng.normal(size=3), [1.0, 0.25]), {"assume_unique": True}),
    ],
)
def setdiff1d(ar1, ar2, assume_unique=False):
    """Arguments as in `numpy.setdiff1d`; the second operand only says what is left out."""
    first, second = _two("setdiff1d", ar1, ar2, assume_unique)
    return first[np.isin(passive(first), passive(second), invert=True)]


def _unique_samples(rng):
    return [((np.array([[0.5, 2.0], [-1.0, 0.7]]),), {})]


def _register(name, **options):
    function = getattr(np, name)

    def unique(x, /):
        parts = np.unique(x, equal_nan=False, **options)
        return type(function(np.zeros(1)))(*parts) if options else parts

    unique.__name__ = unique.__qualname__ = name
    unique.__doc__ = f"Arguments as in `numpy.{name}`; all but the values are constants."
    implements(function, kinks=EQUALS, samples=_unique_samples)(unique)


_register("unique_values")
_register("unique_counts", return_counts=True)
_register("unique_inverse", return_inverse=True)
_register("unique_all", return_index=True, return_inverse=True, return_counts=True)
