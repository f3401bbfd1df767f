"""The call of a compiled function: are these arguments those of a plan, and where do they lie.

A `Spec` is what the arguments of a plan look like; matching one against a call is all that a call
does in front of the instructions.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE

cimport cython
cimport numpy as cnp
from fastbp._core.loops cimport strong_zeros
from fastbp._core.machine cimport Frame
from fastbp._core.replay cimport Plan

import types

import numpy as np

from fastbp._core.replay import StrongZeroError

cnp.import_array()

cdef extern from "Python.h":
    PyObject *PyCell_GET(object cell)
    int PyCell_Check(object x)
    int PyFunction_Check(object x)
    PyObject *PyFunction_GET_CODE(object f)

cdef enum SpecKind:
    ARRAY
    NUMBER          # a float of Python's, or a 0-d scalar of NumPy's
    STATIC
    TUPLE
    LIST
    DICT
    TREE            # any other container that `fastbp.tree` knows
    ELEMENTS        # an array that is no input: its elements are a part of the structure

cdef enum:
    MAX_NDIM = 32


@cython.final
cdef class Spec:
    """What one argument, or a part of it, must be like.

    Parameters
    ----------
    kind : {"array", "number", "static", "tuple", "list", "dict", "tree", "elements"}
    value
        The array or object that it was, the type of a number, the keys of a dict, the structure of
        a tree.
    parts : tuple of Spec
        Of a container.
    number : int
        Which input of the plan it is.

    Attributes
    ----------
    value
        Of an array its shape and dtype.
    layout : str or tuple of int
        Of an array "any", or strides that it must have; "C" for those of C order.
    """
    cdef SpecKind kind
    cdef readonly int number
    cdef readonly object layout
    cdef bint has_layout
    cdef int typenum, nd, itemsize
    cdef cnp.npy_intp dims[MAX_NDIM]
    cdef readonly object value
    cdef readonly tuple parts

    def __init__(self, str kind, value, tuple parts=(), int number=-1):
        cdef cnp.ndarray array
        cdef int axis
        self.kind = <SpecKind> <int> _KINDS.index(kind)
        self.value, self.parts, self.number = value, parts, number
        self.layout, self.has_layout = "any", False
        if self.kind == ARRAY:
            array = value
            if cnp.PyArray_NDIM(array) > MAX_NDIM:
                raise ValueError(f"compile: an array of {cnp.PyArray_NDIM(array)} axes")
            self.typenum, self.nd = cnp.PyArray_TYPE(array), cnp.PyArray_NDIM(array)
            self.itemsize = cnp.PyArray_ITEMSIZE(array)
            for axis in range(self.nd):
                self.dims[axis] = cnp.PyArray_DIM(array, axis)
            self.value = tuple([self.dims[axis] for axis in range(self.nd)]), array.dtype

    @property
    def name(self):
        """The kind."""
        return _KINDS[self.kind]

    def require(self, layout):
        """Let arrays have to have a layout."""
        self.layout, self.has_layout = layout, layout != "any"


_KINDS = ("array", "number", "static", "tuple", "list", "dict", "tree", "elements")

cdef int match(Spec spec, object x, Frame frame) except -1:
    """Say whether `x` is like the spec, and note in the frame where its arrays lie."""
    cdef Py_ssize_t k, n
    cdef PyObject *item
    if spec.kind == ARRAY:
        return _match_array(spec, x, frame)
    if spec.kind == NUMBER:
        if type(x) is not spec.value:
            return False
        if spec.number >= 0:
            if PyFloat_CheckExact(x):
                frame.scalars[spec.number] = x
                frame.bases[spec.number] = <char *> &frame.scalars[spec.number]
            else:
                array = np.asarray(x)
                frame.held.append(array)
                frame.bases[spec.number] = cnp.PyArray_BYTES(array)
        return True
    if spec.kind == STATIC:
        return x is spec.value or (type(x) is type(spec.value) and bool(x == spec.value)
                                   and repr(x) == repr(spec.value))
    if spec.kind == ELEMENTS:
        return type(x) is type(spec.value) and _equal_arrays(x, spec.value)
    n = len(spec.parts)
    if spec.kind == TUPLE:
        if not PyTuple_CheckExact(x) or PyTuple_GET_SIZE(x) != n:
            return False
        for k in range(n):
            if not match(<Spec> spec.parts[k], <object> PyTuple_GET_ITEM(x, k), frame):
                return False
        return True
    if spec.kind == LIST:
        if not PyList_CheckExact(x) or PyList_GET_SIZE(x) != n:
            return False
        for k in range(n):
            if not match(<Spec> spec.parts[k], <object> PyList_GET_ITEM(x, k), frame):
                return False
        return True
    if spec.kind == TREE:
        leaves, structure = _hooks["flatten"](x)
        if structure != spec.value:
            return False
        for k in range(n):
            if not match(<Spec> spec.parts[k], leaves[k], frame):
                return False
        return True
    if type(x) is not dict or len(<dict> x) != n:
        return False
    for k, key in enumerate(<dict> x):
        if key is not spec.value[k] and key != spec.value[k]:
            return False
    for k in range(n):
        item = PyDict_GetItemWithError(x, spec.value[k])
        if item == NULL or not match(<Spec> spec.parts[k], <object> item, frame):
            return False
    return True


cdef int _match_array(Spec spec, object x, Frame frame) except -1:
    cdef cnp.ndarray array
    cdef int axis
    if not cnp.PyArray_CheckExact(x):
        return False
    array = x
    if cnp.PyArray_TYPE(array) != spec.typenum or cnp.PyArray_NDIM(array) != spec.nd:
        return False
    for axis in range(spec.nd):
        if cnp.PyArray_DIM(array, axis) != spec.dims[axis]:
            return False
    if spec.has_layout and not _has_layout(spec, array):
        return False
    if spec.number < 0:
        return True
    if not cnp.PyArray_ISCARRAY_RO(array):
        array = np.array(array, dtype=np.dtype(array.dtype.type), order="C")
        frame.held.append(array)
    frame.bases[spec.number] = cnp.PyArray_BYTES(array)
    return True


cdef bint _has_layout(Spec spec, cnp.ndarray array) except -1:
    if cnp.PyArray_IS_C_CONTIGUOUS(array):
        return type(spec.layout) is str
    return type(spec.layout) is tuple and _hooks["layout_of"](array) == spec.layout


@cython.final
cdef class Form:
    """How a result is made of a plan's arrays.

    Parameters
    ----------
    kind : {"output", "fixed", "tuple", "list", "dict"}
    value
        The number of the output, or what is fixed: an array is copied. Of a dict its keys.
    parts : tuple of Form
    """
    cdef readonly str kind
    cdef readonly object value
    cdef int number
    cdef readonly tuple parts

    def __init__(self, str kind, value, tuple parts=()):
        self.kind, self.value, self.parts = kind, value, parts
        self.number = value if kind == "output" else -1


cdef object build(Form form, list results):
    cdef Form part
    cdef dict made
    if form.number >= 0:
        return results[form.number]
    if form.kind == "tuple":
        return tuple([build(part, results) for part in form.parts])
    if form.kind == "list":
        return [build(part, results) for part in form.parts]
    if form.kind == "dict":
        made = {}
        for key, part in zip(form.value, form.parts):
            made[key] = build(part, results)
        return made
    return form.value.copy() if cnp.PyArray_Check(form.value) else form.value


@cython.final
cdef class Entry:
    """A plan, and what it is for.

    Parameters
    ----------
    plan : Plan
    arguments : tuple of Spec
        One for each argument.
    keywords : Spec or None
        Of the dict of keyword arguments, where there are any.
    places, surroundings : list
        Arrays of the surroundings: (container, key), and a `Spec` for each.
    watched : list
        (container, key, object): what must still be there.
    compared : list
        (array, copy): what must have the same elements.
    guards : list of ndarray
        What the last outputs of the plan must be: values that decided what was recorded.
    form : Form or callable
        How the result is made of the list of arrays; a function for containers that are neither
        tuples, lists nor dicts.
    """
    cdef readonly Plan plan
    cdef readonly tuple arguments
    cdef readonly Spec keywords
    cdef readonly list places, surroundings, guards
    cdef list watched, compared
    cdef readonly int missed        # calls in a row for which a guard did not hold
    cdef readonly Form form
    cdef readonly object build

    def __init__(self, Plan plan not None, tuple arguments, Spec keywords, list places,
                 list surroundings, list watched, list compared, list guards, form):
        self.plan, self.arguments = plan, arguments
        self.form, self.build = (form, None) if type(form) is Form else (None, form)
        self.keywords = keywords
        self.places, self.surroundings, self.watched = places, surroundings, watched
        self.compared, self.guards = compared, guards

    @property
    def n_guards(self):
        """The number of outputs that are guards."""
        return len(self.guards)

    def found(self):
        """Return the arrays of the surroundings, as they are now."""
        return [_found_in(facts[0], facts[1]) for facts in self.places]

    def reason(self, args, kwargs):
        """Say why the plan is not for a call; None: it is. No arguments: for any call."""
        cdef Frame frame = self.plan.machine.frame()
        cdef Py_ssize_t k
        try:
            if args is not None and not self._is_called(args, kwargs, frame):
                return "other arguments"
            for facts in self.watched:
                x = _found_in(facts[0], facts[1])
                if x is not facts[2] and not _same(x, facts[2]):
                    return f"another {type(facts[2]).__name__} at {_named(facts[0], facts[1])}"
            for k in range(len(self.places)):
                facts = self.places[k]
                if not match(<Spec> self.surroundings[k], _found_in(facts[0], facts[1]), frame):
                    return f"another kind of array at {_named(facts[0], facts[1])}"
            for facts in self.compared:
                if not _equal_arrays(facts[0], facts[1]):
                    return f"other elements in an array of shape {facts[0].shape} of an object"
        finally:
            self.plan.machine.give_back(frame)
        return None

    cdef int fits(self, tuple args, dict kwargs, Frame frame) except -1:
        cdef Py_ssize_t k
        cdef tuple facts
        if not self._is_called(args, kwargs, frame):
            return False
        for facts in self.watched:
            x = _found_in(facts[0], facts[1])
            if x is not facts[2] and not _same(x, facts[2]):
                return False
        for k in range(len(self.places)):
            facts = self.places[k]
            if not match(<Spec> self.surroundings[k], _found_in(facts[0], facts[1]), frame):
                return False
        for facts in self.compared:
            if not _equal_arrays(facts[0], facts[1]):
                return False
        return True

    cdef int _is_called(self, tuple args, dict kwargs, Frame frame) except -1:
        cdef Py_ssize_t k
        if PyTuple_GET_SIZE(args) != len(self.arguments):
            return False
        if self.keywords is None:
            if kwargs:
                return False
        elif not match(self.keywords, kwargs, frame):
            return False
        for k in range(len(self.arguments)):
            if not match(<Spec> self.arguments[k], <object> PyTuple_GET_ITEM(args, k), frame):
                return False
        return True

    cpdef object call(self, tuple args, dict kwargs):
        """Return the result for these arguments, or `MISSED` where the plan is not for them."""
        cdef Frame frame = self.plan.machine.frame()
        cdef list results
        try:
            if not self.fits(args, kwargs, frame):
                return MISSED
            results = self.plan.run(frame)
        finally:
            self.plan.machine.give_back(frame)
        if self.guards:
            self._check(results)
        return self.result(results)

    def times(self, tuple args not None, dict kwargs not None, list parts not None, int passes):
        """Return the seconds of parts of the plan, (first instruction, end), in so many passes.

        Each pass runs the parts in their order: they must be all that the plan has.
        """
        cdef Frame frame = self.plan.machine.frame()
        try:
            if not self.fits(args, kwargs, frame):
                return MISSED
            _results = self.plan.new_outputs(frame)     # kept to the end
            return [self.plan.machine.times(frame, parts) for _ in range(passes)]
        finally:
            self.plan.machine.give_back(frame)

    cdef int _check(self, list results) except -1:
        cdef Py_ssize_t n = len(results) - len(self.guards)
        for found, want in zip(results[n:], self.guards):
            if want is not None and not _equal_arrays(found, want):
                self.missed += 1
                raise GuardError("a value that decided what was recorded is another one: call the "
                                 "function as it is")
        self.missed = 0
        del results[n:]
        return 0

    def built(self, list results):
        """Return what the function returns, of arrays, those without axes too."""
        return self.build(results) if self.form is None else build(self.form, results)

    cdef object result(self, list results):
        cdef Py_ssize_t k
        cdef cnp.ndarray array
        for k in range(len(results)):
            array = results[k]
            if cnp.PyArray_NDIM(array) == 0:
                results[k] = array[()]
        return self.build(results) if self.form is None else build(self.form, results)


class GuardError(ArithmeticError):
    """A plan is not for these values: the function must be called as it is."""


@cython.final
cdef class Bound:
    """A plan on fixed memory: it reads the same arrays in every call, and writes the same ones.

    Made by ``Compiled.bind``.

    Parameters
    ----------
    entry : Entry
    args : tuple
    kwargs : dict
    outputs : list of ndarray
        In C order, one for each output of the plan.
    result
        What is returned.
    moved : list
        Pairs (output, array): the output is copied to the array in the end.
    """
    cdef Entry entry
    cdef Frame frame
    cdef list outputs, moved
    cdef object result, read
    cdef bint running

    def __init__(self, Entry entry not None, tuple args, dict kwargs, list outputs not None,
                 result, list moved not None):
        cdef int k
        cdef cnp.ndarray array
        self.entry, self.outputs, self.result, self.moved = entry, outputs, result, moved
        # The memory of what is read must stay where it is: nobody may free or resize it.
        self.read = args, dict(kwargs), _leaves((args, kwargs)), entry.found()
        self.frame = entry.plan.machine.frame()
        if not entry.fits(args, kwargs, self.frame):
            raise ValueError("bind: the plan is not for these arguments")
        for k in range(len(outputs)):
            array = outputs[k]
            self.frame.bases[entry.plan.outputs[k].buffer] = cnp.PyArray_BYTES(array)

    def __call__(self):
        """Read the arguments as they are now, write the outputs, and return them."""
        cdef long long before = strong_zeros()
        if self.running:
            raise RuntimeError("bind: another thread is calling this function, which has one "
                               "workspace: bind one for each thread")
        self.running = True
        try:
            self.entry.plan.machine.run(self.frame)
        finally:
            self.running = False
        if self.frame.arrays:
            self.frame.arrays = []
        if strong_zeros() != before:
            raise StrongZeroError("a zero cotangent met a slope that is not finite: call the "
                                  "function as it is")
        if self.entry.guards:
            self.entry._check(list(self.outputs))
        for output, target in self.moved:
            target[...] = output
        return self.result

    def __reduce__(self):
        raise TypeError("bind: what it returned reads and writes arrays of this process and cannot "
                        "be pickled; send the compiled function, and call its bind there")


MISSED = object()
cdef object _NOTHING = object()
cdef object _MAPPING_PROXY = types.MappingProxyType


cdef object _leaves(object x):
    return _hooks["flatten"](x)[0]


cdef object _found_in(object container, object key):
    cdef PyObject *x
    if key is _length_key:
        return len(container)
    if PyCell_Check(container):
        x = PyCell_GET(container)
        return _NOTHING if x == NULL else <object> x
    if type(container) is dict:
        x = PyDict_GetItemWithError(container, key)
        if x != NULL:
            return <object> x
    if type(container) is _MAPPING_PROXY:
        return container.get(key, _NOTHING)
    if PyFunction_Check(container) and key == "__code__":
        return <object> PyFunction_GET_CODE(container)
    if PyList_CheckExact(container):
        if 0 <= key < PyList_GET_SIZE(container):
            return <object> PyList_GET_ITEM(container, key)
        return _NOTHING
    return _hooks["found_in"](container, key)


cdef str _named(object container, object key):
    if PyCell_Check(container):
        return "a variable of an enclosing function"
    return repr(key) if isinstance(key, (str, int)) else "a container"


cdef bint _same(object x, object y):
    return _hooks["same"](x, y)


cdef bint _equal_arrays(object x, object y):
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


cdef dict _hooks = {}
cdef object _length_key = None


def set_length_key(key):
    """Set the key that stands for the length of a container."""
    global _length_key
    _length_key = key


def bind(str name, function):
    """Bind a function that is called by name."""
    _hooks[name] = function


cdef class Caller:
    """A compiled function as it is called: the plan of the last call first, then all, then `miss`.

    Attributes
    ----------
    entries : list of Entry
    """
    cdef readonly list entries
    cdef Entry last

    def __cinit__(self):
        self.entries = []

    def add(self, Entry entry not None):
        """Add a plan, the first to be tried."""
        self.entries.append(entry)
        self.last = entry

    def clear(self):
        """Forget all plans."""
        self.entries.clear()
        self.last = None

    def miss(self, tuple args, dict kwargs):
        """Return the result of a call that no plan is for."""
        raise NotImplementedError

    def failed(self, error, tuple args, dict kwargs):
        """Return the result where a plan could not."""
        raise error

    def __call__(self, *args, **kwargs):
        cdef Entry entry
        try:
            if self.last is not None:
                found = self.last.call(args, kwargs)
                if found is not MISSED:
                    return found
                for entry in self.entries:
                    if entry is not self.last:
                        found = entry.call(args, kwargs)
                        if found is not MISSED:
                            self.last = entry
                            return found
        except MemoryError:
            raise
        except Exception as error:      # of these values: the function itself tells what it is
            return self.failed(error, args, kwargs)
        return self.miss(args, kwargs)
