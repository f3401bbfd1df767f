"""Sparse Jacobians and Hessians by compressed sweeps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import scipy.sparse

from fastbp import arguments
from fastbp import unconnected as loss
from fastbp._core import sweep
from fastbp._core.graph import Variable, array_of
from fastbp._core.tape import Tape
from fastbp.derived import derived, named
from fastbp.errors import DTypeError, ShapeError
from fastbp.recording import record_one, released
from fastbp.sparse.coloring import SYMMETRIC, Coloring
from fastbp.sparse.compressed import Compression, choose, mode_of
from fastbp.sparse.courses import Courses, all_courses
from fastbp.sparse.pattern import Pattern
from fastbp.sparse.patterns import Zeros, pattern_of
from fastbp.spreading import check_threads
from fastbp.transforms import gradient_for

__all__ = ["Prepared", "between", "hessian", "jacobian", "prepare"]


class Prepared:
    """The sparse Jacobian of a function, ready to be evaluated again and again; see `prepare`.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool
    coloring : Coloring
    mode : {"forward", "reverse", "bidirectional"}
    num_sweeps : int
        Number of vectors that are pushed or pulled through the record at a call.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> J = bp.sparse.prepare(lambda x: x[1:] * x[:-1], np.ones(5))
    >>> J.num_sweeps, J.mode
    (2, 'forward')
    >>> J(np.arange(5.0)).toarray()
    array([[1., 0., 0., 0., 0.],
           [0., 2., 1., 0., 0.],
           [0., 0., 3., 2., 0.],
           [0., 0., 0., 4., 3.]])
    """

    def __init__(
        self,
        name: str,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        argnums: int,
        pattern: Any,
        coloring: Coloring | str | None,
        mode: str,
        format: str,
        unconnected: str,
        threads: int,
        symmetric: bool = False,
        once: bool = False,
    ) -> None:
        self._threads = check_threads(name, threads)
        if format not in ("csr", "csc"):
            raise ValueError(f'{name}: format must be "csr" or "csc", not {format!r}')
        self._name, self._f, self._argnums = name, f, argnums
        self._format = format
        self._lock = threading.RLock()
        loss.check_option(name, unconnected, loss.WITHOUT_NONE)
        option = "zero" if symmetric else unconnected  # of the gradient: it may be constant
        given = pattern is not None
        with nullcontext(Courses()) if given else all_courses() as courses:
            x, y, tape = record_one(name, f, args, argnums, option=option, keep=not given)
        self._in = (x.shape, x.dtype)
        self._out_shape: tuple[int, ...] = np.shape(array_of(y))
        shape = (int(np.prod(self._out_shape)), x.size)
        self._relied: list[Zeros] = []
        if not given:
            pattern = pattern_of(tape, [y], [x], arguments=args, relied=self._relied)
            if symmetric:
                pattern = pattern + pattern.T
        s = Pattern.of(pattern, name)
        if s.shape != shape:
            raise ShapeError(f"{name}: the pattern has shape {s.shape}, the derivative {shape}")
        if symmetric and coloring is None:
            coloring = "star"
        # Fewer colors pay at later calls.
        order = "largest_first" if once else "auto"
        self.coloring = choose(name, s, mode, coloring, order)
        self.mode = mode_of(self.coloring)
        self._largest = tape.largest
        self._structure = s
        self._compression = self._new_compression()
        self._matrix = self._new_matrix()
        self._direction = _direction(x)
        assumed = self.coloring.kind in SYMMETRIC and not symmetric
        if assumed and courses.met:  # that record is for patterns only
            x, y, tape = record_one(name, f, args, argnums, option="zero")
        if (given or assumed) and not self._checks(tape, y, x):
            what = "nonzeros outside of the given pattern" if given else "no symmetry"
            raise ValueError(f"{name}: the derivative, of shape {shape}, has {what}")

    def __getstate__(self) -> dict[str, Any]:
        # What was found travels; lock, positions and matrix are made again.
        made = ("_lock", "_compression", "_matrix", "_data", "_indices", "_indptr")
        return {name: value for name, value in vars(self).items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.RLock()
        self._compression = self._new_compression()
        self._matrix = self._new_matrix()

    @property
    def pattern(self) -> Any:
        """The pattern as a new csr_array of bool."""
        return self._structure.matrix()

    @property
    def num_sweeps(self) -> int:
        """Number of vectors that are pushed or pulled through the record at a call."""
        return self.coloring.num_colors

    def __repr__(self) -> str:
        m, n = self._structure.shape
        return (
            f"<Prepared: {self._name} of {getattr(self._f, '__name__', 'a function')}, {m} x {n}, "
            f"{self._structure.nnz} stored, {self.num_sweeps} {self.mode} sweeps>"
        )

    def __call__(self, *args: Any) -> Any:
        """Evaluate at new arguments.

        Returns
        -------
        scipy.sparse.csr_array or csc_array
            The same object at every call, with new values.
        """
        return self.value_and_jacobian(*args)[1]

    def value_and_jacobian(self, *args: Any) -> tuple[Any, Any]:
        """Return the value of the function, too; it costs nothing more.

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> J = bp.sparse.prepare(lambda x: x[1:] * x[:-1], np.ones(3))
        >>> value, found = J.value_and_jacobian(np.arange(3.0))
        >>> value, found.toarray()
        (array([0., 2.]), array([[1., 0., 0.],
               [0., 2., 1.]]))
        """
        with self._lock:
            x, y, tape = self._record(args, relying=bool(self._relied))
            self._fill(tape, y, x)
            return released(y, [x]), self._matrix

    def _copy(self, args: tuple[Any, ...]) -> Any:
        """Return a matrix of the caller's own, or None if what was prepared does not hold here."""
        with self._lock:
            x, y, tape = record_one(self._name, self._f, args, self._argnums)
            fits = (x.shape, x.dtype) == self._in and np.shape(array_of(y)) == self._out_shape
            return self._matrix.copy() if fits and self._checks(tape, y, x) else None

    def verify(self, *args: Any) -> bool:
        """Say whether the pattern holds at these arguments.

        The product of the sparse Jacobian with a random vector is compared with the directional
        derivative: an element that the pattern misses shows, whatever made it appear (control
        flow, another constant).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> J = bp.sparse.prepare(lambda x: x[1:] * x[:-1], np.ones(3))
        >>> J.verify(np.arange(3.0))
        True
        """
        with self._lock:
            x, y, tape = self._record(args)
            return self._checks(tape, y, x)

    # ---- inside

    def _record(self, args: tuple[Any, ...], relying: bool = False) -> tuple[Variable, Any, Tape]:
        """Record the function at new arguments; return input, output and the tape between.

        With `relying` raise if zeros that the pattern relies on are elsewhere.
        """
        shape, dtype = self._in
        given = args[self._argnums] if -len(args) <= self._argnums < len(args) else None
        what = f"{self._name}: argument {self._argnums} has"
        if isinstance(given, np.ndarray):
            # Before the function sees it and fails.
            if given.shape != shape:
                raise ShapeError(f"{what} shape {given.shape}, prepared was {shape}")
            if (
                given.dtype.kind not in "iu" and given.dtype.type is not dtype.type
            ):  # any byte order
                raise DTypeError(f"{what} dtype {given.dtype}, prepared was {dtype}")
        courses = Courses()
        if relying:
            with all_courses() as courses:  # as where they were found
                x, y, tape = record_one(self._name, self._f, args, self._argnums, keep=True)
            self._check_zeros(tape, y, x, args, courses.met)
        if courses.met or not relying:
            x, y, tape = record_one(self._name, self._f, args, self._argnums)
        if x.shape != shape or x.dtype != dtype:
            raise ShapeError(f"{what} shape {x.shape} and dtype {x.dtype}, prepared was {self._in}")
        if np.shape(array_of(y)) != self._out_shape:
            raise ShapeError(
                f"{self._name}: the function returned shape {np.shape(array_of(y))}, "
                f"prepared was {self._out_shape}"
            )
        return x, y, tape

    def _check_zeros(self, tape: Tape, y: Any, x: Variable, args: Any, courses: bool) -> None:
        moved = next((zeros for zeros in self._relied if not zeros.hold(tape)), None)
        if moved is None:
            return
        if courses:  # with another number of steps they have other places in the record
            found = pattern_of(tape, [y], [x], arguments=args)
            if (
                found.shape == self._structure.shape
                and found.nnz == found.multiply(self.pattern).nnz
            ):
                return
        raise ValueError(
            f"{self._name}: a constant array of shape {moved.shape} in the function has zeros in "
            "other places than when the pattern was found: prepare anew"
        )

    def _fill(self, tape: Tape, y: Any, x: Variable) -> None:
        matrix = self._matrix
        if not (
            matrix.data is self._data
            and matrix.indices is self._indices
            and matrix.indptr is self._indptr
            and self._data.flags.writeable
        ):
            self._matrix = self._new_matrix()  # somebody changed its structure, or locked it
        if isinstance(y, Variable):
            self._compression.fill(tape, y, x, self._data, self._threads)
        else:
            self._data[...] = 0.0

    def _new_compression(self) -> Compression:
        dtype, csc = self._in[1], self._format == "csc"
        return Compression(self._name, self._structure, self.coloring, dtype, self._largest, csc)

    def _new_matrix(self) -> Any:
        s = self._structure
        csc = self._format == "csc"
        indptr, indices = s.transposed()[:2] if csc else (s.indptr, s.indices)
        kind = scipy.sparse.csc_array if csc else scipy.sparse.csr_array
        data = np.zeros(s.nnz, self._in[1])
        matrix = kind((data, indices.copy(), indptr.copy()), shape=s.shape)
        matrix.has_canonical_format = True
        self._data, self._indices, self._indptr = matrix.data, matrix.indices, matrix.indptr
        return matrix

    def _checks(self, tape: Tape, y: Any, x: Variable) -> bool:
        """Evaluate, and compare with a random directional derivative."""
        self._fill(tape, y, x)
        return _holds(self._matrix, tape, y, x, self._direction)


class Compressed:
    """The Jacobians between two Variables in records of one kind: pattern and coloring found once.

    Parameters
    ----------
    tape : Tape
    y, x : Variable
        Its ends.
    pattern : csr_array of bool
    """

    def __init__(self, tape: Tape, y: Variable, x: Variable, pattern: Any) -> None:
        self._structure = s = Pattern.of(pattern, "jacobian")
        coloring = choose("jacobian", s, "auto", None)
        self.num_sweeps = coloring.num_colors
        self._compression = Compression("jacobian", s, coloring, x.dtype, tape.largest, False)
        self._direction = _direction(x)

    def __call__(self, tape: Tape, y: Variable, x: Variable, verified: bool = True) -> Any:
        """Return the Jacobian as a csr_array, or None if the pattern does not hold here.

        It is compared with a random directional derivative unless it is not `verified`.
        """
        s = self._structure
        data = np.zeros(s.nnz, x.dtype)
        self._compression.fill(tape, y, x, data)
        matrix = scipy.sparse.csr_array((data, s.indices, s.indptr), shape=s.shape)
        return None if verified and not _holds(matrix, tape, y, x, self._direction) else matrix


def _direction(x: Variable) -> np.ndarray:
    """Return random numbers bounded away from zero: none can hide a missing element."""
    signs = np.random.default_rng(0).uniform(-1.5, 0.5, x.shape)
    return (signs + np.sign(signs)).astype(x.dtype)


def _holds(matrix: Any, tape: Tape, y: Any, x: Variable, v: np.ndarray) -> bool:
    """Say whether a Jacobian times a direction is the directional derivative."""
    t = sweep.forward(tape, [v])[0] if isinstance(y, Variable) else None
    exact = np.zeros(np.shape(array_of(y))) if t is None else t
    exact, found = exact.reshape(-1), matrix @ v.reshape(-1)
    size = abs(matrix) @ abs(v.reshape(-1)) + abs(exact)
    tolerance = np.sqrt(np.finfo(x.dtype).eps) * size
    finite = np.isfinite(exact) & np.isfinite(found)
    return bool(np.all(abs(exact[finite] - found[finite]) <= tolerance[finite]))


def between(tape: Tape, y: Variable, x: Variable, pattern: Any) -> Any:
    """Return the Jacobian of the output of a tape by its first input, as a csr_array."""
    s = Pattern.of(pattern, "jacobian")
    coloring = choose("jacobian", s, "auto", None, "largest_first")
    data = np.zeros(s.nnz, x.dtype)
    compressed = Compression("jacobian", s, coloring, x.dtype, tape.largest, False)
    compressed.fill(tape, y, x, data)
    return scipy.sparse.csr_array((data, s.indices, s.indptr), shape=s.shape)


def prepare(
    f: Callable[..., Any],
    *args: Any,
    argnums: int = 0,
    pattern: Any = None,
    coloring: Coloring | str | None = None,
    mode: str = "auto",
    format: str = "csr",
    unconnected: str = "warn",
    threads: int = 1,
) -> Prepared:
    """Find pattern and coloring of the Jacobian of `f`, for many evaluations.

    Parameters
    ----------
    f : callable
        Returns one array.
    *args
        Arguments of `f`, of the shapes and dtypes of later calls.
    argnums : int
        The argument to differentiate: one array, of any shape.
    pattern : scipy.sparse array or matrix, or dense array, shape (out.size, in.size), optional
        By default it is detected. Stored zeros are part of it.
    coloring : Coloring or str, optional
        A coloring, or its kind. "star" and "acyclic" are for functions whose Jacobian is
        symmetric.
    mode : {"auto", "forward", "reverse", "bidirectional"}
        Direction of the sweeps; "auto" takes the cheapest by the numbers of colors.
    format : {"csr", "csc"}
    unconnected : {"warn", "zero", "raise"}
        What happens where the result does not depend on the argument: zeros with an
        `UnconnectedWarning` or without, or an `UnconnectedError`.
    threads : int
        The sweeps are shared by so many threads; the result is the same to the last bit. It pays
        where arrays are large; rules of your own must bear being called by several threads.

    Returns
    -------
    Prepared
        ``prepared(*args)`` runs `f` and returns the Jacobian at these arguments: the same sparse
        array at every call, with new values; take a ``.copy()`` to keep it.

    Raises
    ------
    ShapeError
        If the pattern or the coloring has another shape than the Jacobian.
    ValueError
        If the coloring is not valid, a given pattern misses nonzeros, or `threads` is less than 1.
    NoRuleError
        If the result depends on Variables from outside.

    Notes
    -----
    The pattern is that of the record at `args`, see `sparsity`: both branches of `fastbp.cond`, any
    number of steps of `fastbp.while_loop`. A function whose own ``if`` takes another way at a later
    call, or whose other arguments have zeros in other places, may have nonzeros elsewhere:
    ``prepared.verify(*args)`` finds out. `jacobian` looks at every call. Where the pattern
    relies on zeros of a constant array, and they are in other places, a call raises a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> def f(x):
    ...     return x[1:] * x[:-1]
    >>> jac = bp.sparse.prepare(f, np.zeros(4))
    >>> jac
    <Prepared: jacobian of f, 3 x 4, 6 stored, 2 forward sweeps>
    >>> jac(np.arange(4.0)).toarray()
    array([[1., 0., 0., 0.],
           [0., 2., 1., 0.],
           [0., 0., 3., 2.]])
    """
    options = argnums, pattern, coloring, mode, format, unconnected, threads
    return Prepared("jacobian", f, args, *options)


def jacobian(
    f: Callable[..., Any],
    *args: Any,
    argnums: int = 0,
    pattern: Any = None,
    coloring: Coloring | str | None = None,
    mode: str = "auto",
    format: str = "csr",
    unconnected: str = "warn",
    threads: int = 1,
) -> Any:
    """Return the Jacobian of `f` at `args` as a sparse array.

    Parameters
    ----------
    f, argnums, pattern, coloring, mode, format, unconnected, threads
        As for `prepare`.
    *args
        Arguments of `f`. Without them a function of these arguments is returned, which keeps
        pattern and coloring for each combination of shapes and dtypes.

    Returns
    -------
    scipy.sparse.csr_array or csc_array of shape (out.size, in.size), or callable
        A new array at every call. Rows are the elements of the output, columns those of the
        argument, both in C order; the dtype is that of the argument.

    Notes
    -----
    The returned function compares every result with a random directional derivative, and prepares
    anew if the pattern changed, or the shape of what `f` returns.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> jac = bp.sparse.jacobian(lambda x: x**2 - np.roll(x, 1))
    >>> jac(np.arange(3.0)).toarray()
    array([[ 0.,  0., -1.],
           [-1.,  2.,  0.],
           [ 0., -1.,  4.]])
    """
    arguments.check_function("jacobian", f)
    check_threads("jacobian", threads)
    options = argnums, pattern, coloring, mode, format, unconnected, threads
    if args:
        return Prepared("jacobian", f, args, *options, once=True)(*args)
    g = derived(
        _evaluated,
        ("jacobian", f, {}, options),
        jacobian,
        f,
        argnums=argnums,
        pattern=pattern,
        coloring=coloring,
        mode=mode,
        format=format,
        unconnected=unconnected,
        threads=threads,
    )
    return named(g, "sparse.jacobian", f)


def hessian(
    f: Callable[..., Any],
    *args: Any,
    argnums: int = 0,
    pattern: Any = None,
    coloring: Coloring | str | None = None,
    format: str = "csr",
    unconnected: str = "warn",
    threads: int = 1,
) -> Any:
    """Return the Hessian of a scalar function as a sparse array.

    The gradient is recorded, and a block of tangents, one for each color, is pushed through it.

    Parameters
    ----------
    f : callable
        Returns a scalar.
    *args, argnums, format, unconnected, threads
        As for `jacobian`; `unconnected` is about the scalar.
    pattern : scipy.sparse array or matrix, or dense array, shape (in.size, in.size), optional
        Symmetric. By default that of the gradient's Jacobian.
    coloring : Coloring or str, optional
        By default a star coloring of the symmetric pattern: half of the elements come from their
        mirror images, so that the result is exactly symmetric. "acyclic" needs fewer sweeps.

    Returns
    -------
    scipy.sparse.csr_array or csc_array of shape (in.size, in.size), or callable

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp as bp
    >>> bp.sparse.hessian(lambda x: np.sum(x[1:] * x[:-1] ** 2), np.arange(3.0)).toarray()
    array([[2., 0., 0.],
           [0., 4., 2.],
           [0., 2., 0.]])
    """
    inner = gradient_for("hessian", f, argnums, unconnected)
    check_threads("hessian", threads)
    options = (argnums, pattern, coloring, "auto", format, unconnected, threads, True)
    if args:
        return Prepared("hessian", inner, args, *options, once=True)(*args)
    g = derived(
        _evaluated,
        ("hessian", inner, {}, options),
        hessian,
        f,
        argnums=argnums,
        pattern=pattern,
        coloring=coloring,
        format=format,
        unconnected=unconnected,
        threads=threads,
    )
    return named(g, "sparse.hessian", f)


def _evaluated(
    name: str, f: Callable[..., Any], ready: dict[Any, Prepared], options: Any, /, *args: Any
) -> Any:
    key = tuple([_kind(a) for a in args])
    if key in ready:
        found = ready[key]._copy(args)
        if found is not None:
            return found
    p = ready[key] = Prepared(name, f, args, *options)
    with p._lock:
        return p(*args).copy()


def _kind(a: Any) -> Any:
    if isinstance(a, np.ndarray):
        return a.shape, a.dtype
    return type(a)
