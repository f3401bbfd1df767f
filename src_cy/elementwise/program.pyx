"""Elementwise programs: traced once from an expression, compiled to inner-loop calls, run block by
block.

`Trace` records an expression written in ordinary NumPy code as single-assignment instructions;
equal subexpressions are one instruction. `compile` turns chosen values of a trace into a `Program`
for one dtype. The same programs serve forward evaluation, VJPs and JVPs of elementwise operations.
"""

from libc.stdint cimport intptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

cimport cython
cimport numpy as cnp
from fastbp._core.dtypes cimport dtype_of, is_complex, itemsize_of, slot_of
from fastbp._core.loops cimport (
    Loop, find_kernel_loop, find_ufunc_loop, kernel_arity, note_strong_zero,
)

import numpy as np

cnp.import_array()

# A mask is 1.0 or 0.0 in the program's own dtype, so that all slots of a program have one dtype.
MASKS = {
    np.greater: "gt", np.greater_equal: "ge", np.less: "lt", np.less_equal: "le",
    np.equal: "eq", np.not_equal: "ne", np.isfinite: "finite",
    np.logical_and: np.multiply, np.bitwise_and: np.multiply,
    np.logical_or: np.maximum, np.bitwise_or: np.maximum,
}


class Expr(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of a `Trace`; ufuncs, operators, comparisons and ``np.where`` on it are recorded."""

    __slots__ = ("trace", "index")

    def __init__(self, trace, index):
        self.trace = trace
        self.index = index

    def __array_ufunc__(self, ufunc, method, *operands, **kwargs):
        if method != "__call__" or kwargs:
            raise TypeError(f"numpy.{ufunc.__name__}: only plain calls in an elementwise rule")
        return self.trace.call(MASKS.get(ufunc, ufunc), *operands)

    def __array_function__(self, function, types, args, kwargs):
        if function is not np.where or kwargs or len(args) != 3:
            raise TypeError(f"numpy.{function.__name__} cannot stand in an elementwise rule")
        return self.trace.call("select", *args)

    def __bool__(self):
        raise TypeError("an elementwise rule cannot branch on a value: use np.where")


class Trace:
    """Instructions in single-assignment form: value i is ``code[i] = (function, argument
    indices)``.

    Inputs have the function ``"input"``, constants ``"constant"`` with the number in place of
    arguments.
    """

    def __init__(self):
        self.code = []
        self.known = {}
        self.n_inputs = 0

    def input(self):
        """Append an external input and return it."""
        self.n_inputs += 1
        return self._value("input", (self.n_inputs - 1,))

    def call(self, function, *operands):
        """Record a ufunc or a named kernel on expressions and numbers."""
        return self._value(function, tuple(self.lift(x).index for x in operands))

    def copy(self, x):
        """Append a copy of an expression, another one each time."""
        self.code.append((np.positive, (x.index,)))
        return Expr(self, len(self.code) - 1)

    def lift(self, x):
        """Return `x` as a value of this trace: an expression unchanged, a number as a constant."""
        if isinstance(x, Expr):
            return x
        return self._value("constant", (x if isinstance(x, complex) else float(x),))

    def constant(self, expr):
        """Return the number that `expr` is, or None where it depends on an input."""
        function, args = self.code[expr.index]
        return args[0] if function == "constant" else None

    def depends(self, expr):
        """Return the set of inputs that `expr` is computed from."""
        function, args = self.code[expr.index]
        if function == "input":
            return {args[0]}
        if function == "constant":
            return set()
        return set().union(*(self.depends(Expr(self, i)) for i in args))

    def _value(self, function, args):
        # As a key 0.0 is -0.0, but the sign of a zero may matter.
        key = (function, args, str(args[0])) if function == "constant" else (function, args)
        index = self.known.get(key)
        if index is None:
            index = self.known[key] = len(self.code)
            self.code.append((function, args))
        return Expr(self, index)


cdef extern from "few_loops.h" nogil:
    enum:
        FEW, FEW_OPS, FEW_ROOM, FEW_NONE, FEW_ADD, FEW_SUBTRACT, FEW_MULTIPLY, FEW_DIVIDE
        FEW_NEGATIVE, FEW_SQUARE
        FEW_POSITIVE, FEW_STRONG_MULTIPLY, FEW_STRONG_MULTIPLY_ADD, FEW_SELECT
    void few_prepare(few_op *op, int which, intptr_t item, intptr_t n)
    bint few_run(const few_code *code, char **at, intptr_t n)

_INLINE = {
    np.add: FEW_ADD, np.subtract: FEW_SUBTRACT, np.multiply: FEW_MULTIPLY, np.divide: FEW_DIVIDE,
    np.negative: FEW_NEGATIVE, np.square: FEW_SQUARE, np.positive: FEW_POSITIVE,
    "mulz": FEW_STRONG_MULTIPLY, "mulz_add": FEW_STRONG_MULTIPLY_ADD, "select": FEW_SELECT,
}


cdef bint _find(object function, int typenum, Loop *loop):
    """Prefer a kernel of ours by the ufunc's name.

    It exists where it is faster than NumPy's loop.
    """
    if isinstance(function, str):
        return find_kernel_loop(function, typenum, loop)
    cdef str name = function.__name__
    if kernel_arity(name) == function.nin and find_kernel_loop(name, typenum, loop):
        return True
    return find_ufunc_loop(function, typenum, loop)


@cython.final
cdef class Program:
    def __dealloc__(self):
        free(self.code)
        free(self.passes)
        free(self.constants)

    cdef void run(self, char **ptrs, const intptr_t *steps, intptr_t n) noexcept nogil:
        cdef char *slot_ptr[MAX_SLOTS]
        cdef intptr_t slot_step[MAX_SLOTS]
        cdef char temps[MAX_TEMPS * BLOCK * 8]
        cdef char *args[4]
        cdef intptr_t arg_steps[4]
        cdef intptr_t count, block = self.block
        cdef int n_external = self.n_inputs + self.n_outputs
        cdef int i, j, k
        cdef Instruction *ins
        cdef double room[FEW_ROOM]
        if 0 < n <= self.few and self.n_code <= FEW_OPS:
            for i in range(n_external):
                slot_ptr[i] = ptrs[i]
            self.prepare_few(<few_code *> room, steps, n)
            if few_run(<few_code *> room, slot_ptr, n):
                note_strong_zero()
            return
        for i in range(n_external):
            slot_ptr[i] = ptrs[i]
            slot_step[i] = steps[i]
        k = n_external
        for i in range(self.n_constants):
            slot_ptr[k] = self.constants + i * self.itemsize
            slot_step[k] = 0
            k += 1
        for i in range(self.n_temps):
            slot_ptr[k] = temps + i * block * self.itemsize
            slot_step[k] = self.itemsize
            k += 1
        while n > 0:
            # A program of one pass has no temporaries: one call does it all.
            count = n if n <= block or self.n_passes == 1 else block
            for i in range(self.n_passes):
                ins = self.passes + i
                for j in range(ins.nin + 1):
                    args[j] = slot_ptr[ins.slots[j]]
                    arg_steps[j] = slot_step[ins.slots[j]]
                ins.fn(args, &count, arg_steps, ins.data)
            n -= count
            for i in range(n_external):
                slot_ptr[i] += count * slot_step[i]

    cdef void prepare_few(self, few_code *code, const intptr_t *steps,
                          intptr_t n) noexcept nogil:
        cdef const Instruction *ins
        cdef few_op *op
        cdef int i, j, slot
        code.n_ops, code.n_external = self.n_code, self.n_inputs + self.n_outputs
        code.n_constants, code.n_temps = self.n_constants, self.n_temps
        code.item, code.constants = self.itemsize, self.constants
        for i in range(self.n_code):
            ins, op = self.code + i, code.ops + i
            op.nin, op.loop, op.data = ins.nin, ins.fn, ins.data
            for j in range(4):
                slot = ins.slots[j]
                op.slots[j] = slot
                if slot < code.n_external:
                    op.steps[j] = steps[slot]
                else:
                    op.steps[j] = 0 if slot < code.n_external + code.n_constants else code.item
            few_prepare(op, ins.inline_code, code.item, n)

    def expression(self):
        """Return what is computed, as data.

        Returns
        -------
        n_inputs : int
        code : list of tuple
            ``(function, operands)``: a ufunc, or the name of a kernel, of values by number, inputs
            first, then what is computed here; ``("constant", number)``.
        outputs : list of int
            Which values the outputs are.
        """
        cdef int n = self.n_inputs
        live = [i for i in self.live if self.traced[i][0] != "input"]
        number = {i: args[0] for i, (function, args) in enumerate(self.traced)
                  if function == "input"}
        number.update({i: n + k for k, i in enumerate(live)})
        code = [(function, args[0] if function == "constant" else tuple([number[a] for a in args]))
                for function, args in [self.traced[i] for i in live]]
        return n, code, [number[i] for i in self.results]

    def may_write_over(self, int i, int k):
        """Say whether output `k` may lie where input `i` lies, element on element.

        It is so where no instruction reads the input once the output is written.
        """
        cdef int j, n, slot = self.n_inputs + k
        cdef bint written = False
        if not 0 <= i < self.n_inputs or not 0 <= k < self.n_outputs:
            raise IndexError("may_write_over: there is no such input, or output")
        for n in range(self.n_code):
            if written:
                for j in range(self.code[n].nin):
                    if self.code[n].slots[j] == i:
                        return False
            written = written or self.code[n].slots[self.code[n].nin] == slot
        return True

    def __call__(self, *inputs):
        """Run on 1-D contiguous arrays of one length and of the program's dtype; for tests."""
        cdef char *ptrs[MAX_EXTERNAL]
        cdef intptr_t steps[MAX_EXTERNAL]
        dtype = dtype_of(self.typenum)
        arrays = [np.ascontiguousarray(x, dtype).reshape(-1) for x in inputs]
        if len(arrays) != self.n_inputs or len({x.size for x in arrays}) > 1:
            raise ValueError(f"this program takes {self.n_inputs} arrays of one length")
        cdef intptr_t n = arrays[0].size if arrays else 1
        outputs = [np.empty(n, dtype) for _ in range(self.n_outputs)]
        cdef int i = 0
        for x in arrays + outputs:
            ptrs[i] = <char *> cnp.PyArray_DATA(x)
            steps[i] = self.itemsize
            i += 1
        with nogil:
            self.run(ptrs, steps, n)
        return outputs


def _live_code(trace, outputs):
    """Return the indices of the instructions that `outputs` need, in order."""
    needed, stack = set(), [e.index for e in outputs]
    while stack:
        i = stack.pop()
        if i not in needed:
            needed.add(i)
            if trace.code[i][0] not in ("input", "constant"):
                stack.extend(trace.code[i][1])
    return sorted(needed)


def _distinct_outputs(trace, outputs):
    """Give every output an instruction of its own: inputs, constants and repeats are copied."""
    result, seen = [], set()
    for e in outputs:
        if trace.code[e.index][0] in ("input", "constant") or e.index in seen:
            e = trace.copy(e)
        seen.add(e.index)
        result.append(e)
    return result


def compile_program(trace, outputs, int typenum):
    """Compile values of a trace for one dtype.

    Parameters
    ----------
    trace : Trace
    outputs : sequence of Expr
        What the program computes, in the order of its external outputs.
    typenum : int
        NumPy type number of a dtype that has derivatives; all slots have this dtype.

    Returns
    -------
    Program or None
        None where an instruction has no trusted inner loop, or the program does not fit the slots.
    """
    outputs = _distinct_outputs(trace, outputs)
    live = _live_code(trace, outputs)
    last_use = {}
    for i in live:
        if trace.code[i][0] not in ("input", "constant"):
            for a in trace.code[i][1]:
                last_use[a] = i
    slots = {e.index: trace.n_inputs + k for k, e in enumerate(outputs)}
    constants, temps_free, n_temps, code = [], [], 0, []
    temp_slot = {}
    for i in live:
        function, args = trace.code[i]
        if function == "input":
            slots[i] = args[0]
        elif function == "constant":
            slots[i] = ("constant", len(constants))
            constants.append(args[0])
        else:
            # The output may take the temporary of an operand that dies here: exact aliasing is
            # fine.
            for a in set(args):
                if last_use.get(a) == i and a in temp_slot:
                    temps_free.append(temp_slot[a])
            if i not in slots:
                if not temps_free:
                    temps_free.append(n_temps)
                    n_temps += 1
                temp_slot[i] = temps_free.pop()
                slots[i] = ("temp", temp_slot[i])
            code.append((function, [slots[a] for a in args], slots[i]))
    program = _assemble(trace, len(outputs), constants, n_temps, code, slots, typenum)
    if program is not None:
        (<Program> program).traced, (<Program> program).live = trace.code, live
        (<Program> program).results = [e.index for e in outputs]
    return program


def program_from(int n_inputs, code, outputs, int typenum):
    """Return the program that `Program.expression` describes; None as from `compile_program`.

    Raises
    ------
    ValueError
        For what describes none: a function of other operands, values that are not there.
    """
    if slot_of(typenum) < 0:
        raise ValueError(f"a program of type number {typenum}")
    if n_inputs < 0 or n_inputs > MAX_EXTERNAL or not 0 < len(outputs) <= MAX_EXTERNAL:
        return None
    trace = Trace()
    for _ in range(n_inputs):
        trace.input()
    for function, operands in code:     # as it is, in this order: outputs may lie on inputs
        if function == "constant":
            if not isinstance(operands, (int, float, complex)):
                raise ValueError("a program has a constant that is no number")
            trace.code.append((function, (operands,)))
            continue
        if isinstance(function, np.ufunc):
            fitting = function.nin == len(operands) and function.nout == 1
        else:
            fitting = isinstance(function, str) and kernel_arity(function) == len(operands)
        if not fitting or not _are_values(operands, len(trace.code)):
            raise ValueError(f"a program calls {function!r} of values that are not there")
        trace.code.append((function, tuple(operands)))
    if not _are_values(outputs, len(trace.code)):
        raise ValueError("a program returns values that are not there")
    return compile_program(trace, [Expr(trace, k) for k in outputs], typenum)


cdef bint _are_values(object numbers, Py_ssize_t n):
    return all([type(k) is int and 0 <= k < n for k in numbers])


# Arithmetic of which two are one pass over the memory (kernels_pairs.h), by the part of a name that
# each has there: first, and second, if the first result is its first or its second operand.
_FIRST = {np.add: "add", np.subtract: "subtract", np.multiply: "multiply", np.square: "multiply"}
_SECOND = {np.add: ("add", "add"), np.subtract: ("subtract", "subtract_from"),
           np.multiply: ("multiply", "multiply")}


cdef list _paired(list code, int typenum):
    """Return instructions where two of arithmetic are one, if the first result is read once.

    Bit for bit the same is computed, also where an output lies on an input (`may_write_over`).
    """
    cdef list passes = list(code)
    cdef Loop loop
    for j, (second, args, out) in enumerate(code):
        if second not in _SECOND or args[0] == args[1]:
            continue
        for side in range(2):
            i = _read_once(passes, code, args[side], j)
            if i is None:
                continue
            first, operands, _ = code[i]
            name = _FIRST[first] + "_" + _SECOND[second][side]
            if find_kernel_loop(name, typenum, &loop):
                passes[i] = None
                passes[j] = (name, [operands[0], operands[len(operands) - 1], args[1 - side]], out)
                break
    return [x for x in passes if x is not None]


cdef object _read_once(list passes, list code, slot, int j):
    """Return the number of the instruction whose result only instruction `j` reads, in `slot`.

    None where there is none, or where what it reads is not there any more at `j`.
    """
    if not isinstance(slot, tuple) or slot[0] != "temp":
        return None
    i = max([k for k in range(j) if code[k][2] == slot])
    if passes[i] is not code[i] or code[i][0] not in _FIRST:
        return None
    for k in range(i + 1, len(code)):
        if k != j and slot in code[k][1]:
            return None
        if code[k][2] == slot:
            break
    operands = code[i][1]
    outside = any([isinstance(x, int) for x in operands])
    for x in passes[i + 1:j]:
        if x is not None and (x[2] in operands or outside and isinstance(x[2], int)):
            return None
    return i


cdef object _assemble(
    trace, int n_outputs, list constants, int n_temps, list code, dict slots, int typenum
):
    cdef Program p = Program.__new__(Program)
    cdef int n_external = trace.n_inputs + n_outputs
    cdef Instruction *ins
    base = {"constant": n_external, "temp": n_external + len(constants)}
    if n_external > MAX_EXTERNAL or n_temps > MAX_TEMPS or base["temp"] + n_temps > MAX_SLOTS:
        return None
    p.typenum = typenum
    p.itemsize = itemsize_of(typenum)
    p.block = min(BLOCK, BLOCK * 8 // p.itemsize)
    p.n_inputs, p.n_outputs, p.n_temps = trace.n_inputs, n_outputs, n_temps
    p.n_constants, p.n_code = len(constants), len(code)
    cdef list passes = _paired(code, typenum)
    p.n_passes = len(passes)
    p.code = <Instruction *> calloc(max(1, len(code)), sizeof(Instruction))
    p.passes = <Instruction *> calloc(max(1, len(passes)), sizeof(Instruction))
    p.constants = <char *> malloc(max(1, p.n_constants * p.itemsize))
    if p.code == NULL or p.passes == NULL or p.constants == NULL:
        raise MemoryError
    if not is_complex(typenum):
        constants = [c.real for c in constants]     # those of a partial in real numbers are real
    values = np.array(constants, dtype_of(typenum))
    memcpy(p.constants, cnp.PyArray_DATA(values), p.n_constants * p.itemsize)
    for i, (function, args, out) in enumerate(code):
        ins = p.code + <int> i
        if not _fill(ins, function, typenum, [*args, out], base):
            return None
        if not is_complex(typenum):
            ins.inline_code = _INLINE.get(function, FEW_NONE)
            if ins.inline_code != FEW_NONE:
                p.few = FEW
        for slot in args:
            if isinstance(slot, int) and slot < trace.n_inputs:
                p.reads |= 1u << <unsigned int> slot
    for i, (function, args, out) in enumerate(passes):
        if not _fill(p.passes + <int> i, function, typenum, [*args, out], base):
            return None
    return p


cdef bint _fill(Instruction *ins, function, int typenum, list slots, dict base):
    """Fill in loop and slots; return whether there is such a loop."""
    cdef Loop loop
    cdef int j
    if not _find(function, typenum, &loop) or len(slots) > 4:
        return False
    ins.fn, ins.data, ins.nin = loop.fn, loop.data, len(slots) - 1
    for j, slot in enumerate(slots):
        ins.slots[j] = base[slot[0]] + slot[1] if isinstance(slot, tuple) else slot
    return True
