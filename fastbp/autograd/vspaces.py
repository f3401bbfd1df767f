"""The vector spaces of values: their zeros, bases, sums and inner products, also of containers.

Spaces know shapes and dtypes. Their operations are ordinary functions, so they are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

import fastbp.numpy as bnp
from fastbp._core import graph
from fastbp._core.graph import Variable

__all__ = [
    "ArrayVSpace",
    "ComplexArrayVSpace",
    "ContainerVSpace",
    "DictVSpace",
    "ListVSpace",
    "NamedTupleVSpace",
    "SequenceVSpace",
    "SparseObject",
    "TupleVSpace",
    "VSpace",
    "dense",
    "vspace",
]


class VSpace:
    """A vector space; derive from it, and `register`, for types of one's own.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd.extend import vspace
    >>> space = vspace(np.array([1.0, 2.0]))
    >>> space.size, space.zeros()
    (2, array([0., 0.]))
    >>> space.inner_prod(space.ones(), np.array([3.0, 4.0]))
    np.float64(7.0)
    """

    mappings: ClassVar[dict[type, Callable[[Any], VSpace]]] = {}
    iscomplex = False
    shape: Any

    def __init__(self, value: Any) -> None:
        pass

    @property
    def size(self) -> int:
        """The dimension over the real numbers."""
        raise NotImplementedError(f"{type(self).__name__}.size")

    def zeros(self) -> Any:
        """Return the zero."""
        raise NotImplementedError(f"{type(self).__name__}.zeros")

    def ones(self) -> Any:
        """Return the vector of ones."""
        raise NotImplementedError(f"{type(self).__name__}.ones")

    def standard_basis(self) -> Iterator[Any]:
        """Yield the vectors of the standard basis."""
        raise NotImplementedError(f"{type(self).__name__}.standard_basis")

    def randn(self) -> Any:
        """Return a vector of normal random numbers, from `numpy.random`'s global state."""
        raise NotImplementedError(f"{type(self).__name__}.randn")

    def add(self, x_prev: Any, x_new: Any) -> Any:
        """Return the sum of two vectors."""
        return self._add(x_prev, x_new)

    def mut_add(self, x_prev: Any, x_new: Any) -> Any:
        """Add to `x_prev`, in place where it can be; None stands for zero."""
        return self._mut_add(self.zeros() if x_prev is None else x_prev, x_new)

    def scalar_mul(self, x: Any, a: Any) -> Any:
        """Return `x` times a number."""
        return self._scalar_mul(x, a)

    def inner_prod(self, x: Any, y: Any) -> Any:
        """Return the real inner product."""
        return self._inner_prod(x, y)

    def covector(self, x: Any) -> Any:
        """Return the cotangent whose product with vectors is the inner product with `x`."""
        return self._covector(x)

    def _add(self, x: Any, y: Any) -> Any:
        return x + y

    def _mut_add(self, x: Any, y: Any) -> Any:
        x += y
        return x

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return x * a

    def _inner_prod(self, x: Any, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._inner_prod")

    def _covector(self, x: Any) -> Any:
        return x

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}_{self.__dict__}"

    @classmethod
    def register(cls, value_type: type, vspace_maker: Any = None) -> None:
        """Use this space, or what `vspace_maker` returns, for values of a type."""
        VSpace.mappings[value_type] = vspace_maker or cls


def vspace(value: Any) -> Any:
    """Return the vector space of a value: an array, a number, a nested container of them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd.extend import vspace
    >>> space = vspace({"w": np.ones(2), "b": 1.0})
    >>> space.size
    3
    >>> space.zeros()
    {'w': array([0., 0.]), 'b': array(0.)}
    """
    kind = type(value)
    made = VSpace.mappings.get(kind)
    if made is None and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        made = NamedTupleVSpace
    if made is None:
        raise TypeError(
            f"Can't find vector space for value {value} of type {kind}. Valid types are "
            f"{VSpace.mappings.keys()}"
        )
    return made(value)


class ArrayVSpace(VSpace):
    """Real arrays of one shape and dtype; numbers are arrays without axes."""

    def __init__(self, value: Any) -> None:
        array = np.asarray(graph.array_of(value))
        self.shape = array.shape
        self.dtype = array.dtype

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def zeros(self) -> Any:
        """Return an array of zeros."""
        return np.zeros(self.shape, self.dtype)

    def ones(self) -> Any:
        """Return an array of ones."""
        return np.ones(self.shape, self.dtype)

    def standard_basis(self) -> Iterator[Any]:
        """Yield arrays with a single one."""
        for index in np.ndindex(*self.shape):
            yield self._unit(index, 1)

    def _unit(self, index: Any, value: Any) -> Any:
        vector = self.zeros()
        vector[index] = value
        return vector

    def randn(self) -> Any:
        """Return an array of normal random numbers."""
        return np.asarray(np.random.randn(*self.shape)).astype(self.dtype)  # noqa: NPY002

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return bnp.dot(bnp.ravel(x), bnp.ravel(y))


class ComplexArrayVSpace(ArrayVSpace):
    """Complex arrays, a space over the real numbers."""

    iscomplex = True

    @property
    def size(self) -> int:
        """Twice the number of elements."""
        return 2 * super().size

    def ones(self) -> Any:
        """Return an array of 1 + 1j."""
        return np.full(self.shape, 1 + 1j, self.dtype)

    def standard_basis(self) -> Iterator[Any]:
        """Yield arrays with a single 1, and with a single 1j."""
        for index in np.ndindex(*self.shape):
            yield self._unit(index, 1)
            yield self._unit(index, 1j)

    def randn(self) -> Any:
        """Return an array whose parts are normal random numbers."""
        real, imag = (np.random.randn(*self.shape) for _ in range(2))  # noqa: NPY002
        return np.asarray(real + 1j * np.asarray(imag)).astype(self.dtype)

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return bnp.real(bnp.dot(bnp.conj(bnp.ravel(x)), bnp.ravel(y)))

    def _covector(self, x: Any) -> Any:
        return bnp.conj(x)


def _of_array(x: Any) -> ArrayVSpace:
    return (ComplexArrayVSpace if x.dtype.kind == "c" else ArrayVSpace)(x)


for _kind in (np.ndarray, Variable):
    VSpace.register(_kind, _of_array)
for _real in (float, np.longdouble, np.float64, np.float32, np.float16):
    ArrayVSpace.register(_real)
for _complex in (complex, np.clongdouble, np.complex64, np.complex128):
    ComplexArrayVSpace.register(_complex)


class ContainerVSpace(VSpace):
    """Containers; `shape` is one of the spaces of the items."""

    def __init__(self, value: Any) -> None:
        self.shape = value
        self.shape = self._map(vspace)

    def _values(self, x: Any) -> Any:
        return x

    def _kv_pairs(self, x: Any) -> Any:
        return enumerate(x)

    def _map(self, f: Callable[..., Any], *args: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._map")

    def _subval(self, xs: Any, key: Any, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}._subval")

    @property
    def size(self) -> int:
        """The sum over the items."""
        return sum(s.size for s in self._values(self.shape))

    def zeros(self) -> Any:
        """Return a container of zeros."""
        return self._map(lambda s: s.zeros())

    def ones(self) -> Any:
        """Return a container of ones."""
        return self._map(lambda s: s.ones())

    def randn(self) -> Any:
        """Return a container of normal random numbers."""
        return self._map(lambda s: s.randn())

    def standard_basis(self) -> Iterator[Any]:
        """Yield containers with a single one."""
        for key, space in self._kv_pairs(self.shape):
            for x in space.standard_basis():
                yield self._subval(self.zeros(), key, x)

    def _add(self, x: Any, y: Any) -> Any:
        return self._map(lambda s, a, b: s.add(a, b), x, y)

    def _mut_add(self, x: Any, y: Any) -> Any:
        return self._map(lambda s, a, b: s.mut_add(a, b), x, y)

    def _scalar_mul(self, x: Any, a: Any) -> Any:
        return self._map(lambda s, b: s.scalar_mul(b, a), x)

    def _inner_prod(self, x: Any, y: Any) -> Any:
        return sum(self._values(self._map(lambda s, a, b: s.inner_prod(a, b), x, y)))

    def _covector(self, x: Any) -> Any:
        return self._map(lambda s, a: s.covector(a), x)


class SequenceVSpace(ContainerVSpace):
    """Sequences; `seq_type` makes one of the items."""

    seq_type: Callable[..., Any] = tuple

    def _map(self, f: Callable[..., Any], *args: Any) -> Any:
        return self._made(map(f, self.shape, *args))

    def _subval(self, xs: Any, key: Any, x: Any) -> Any:
        items = list(xs)
        items[key] = x
        return self._made(items)

    def _made(self, items: Any) -> Any:
        return type(self).seq_type(items)


class ListVSpace(SequenceVSpace):
    """Lists."""

    seq_type = list


class TupleVSpace(SequenceVSpace):
    """Tuples."""

    seq_type = tuple


class NamedTupleVSpace(SequenceVSpace):
    """Named tuples: of the value's own type, or of a class's `seq_type`."""

    def __init__(self, value: Any) -> None:
        if type(self) is NamedTupleVSpace:
            self._type = type(value)
        super().__init__(value)

    def _made(self, items: Any) -> Any:
        return getattr(self, "_type", type(self).seq_type)(*items)


class DictVSpace(ContainerVSpace):
    """Dicts."""

    def _values(self, x: Any) -> Any:
        return x.values()

    def _kv_pairs(self, x: Any) -> Any:
        return x.items()

    def _map(self, f: Callable[..., Any], *args: Any) -> Any:
        return {k: f(s, *[x[k] for x in args]) for k, s in self.shape.items()}

    def _subval(self, xs: Any, key: Any, x: Any) -> Any:
        return {**xs, key: x}


ListVSpace.register(list)
TupleVSpace.register(tuple)
DictVSpace.register(dict)


class SparseObject:
    """A vector that is mostly zero: `vs`, its space, and ``mut_add(x)``, which adds it to `x`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp.autograd import grad, primitive
    >>> from fastbp.autograd.extend import SparseObject, defvjp, vspace
    >>> @primitive
    ... def element(x, i):
    ...     return x[i]
    >>> def maker(ans, x, i):
    ...     def vjp(g):
    ...         def mut_add(total):
    ...             total[i] += g
    ...             return total
    ...         return SparseObject(vspace(x), mut_add)
    ...     return vjp
    >>> defvjp(element, maker)
    >>> grad(lambda x: element(x, 1) ** 2)(np.array([1.0, 5.0, 2.0]))
    array([ 0., 10.,  0.])
    """

    __slots__ = ("mut_add", "vs")

    def __init__(self, vs: Any, mut_add: Callable[[Any], Any]) -> None:
        self.vs = vs
        self.mut_add = mut_add


VSpace.register(SparseObject, lambda x: x.vs)


def dense(x: Any) -> Any:
    """Return a vector that may be a `SparseObject` as an array or container."""
    return x.mut_add(x.vs.zeros()) if type(x) is SparseObject else x
