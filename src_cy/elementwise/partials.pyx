"""From partial derivatives to programs: what an elementwise operation's rules read, and its
compiled sweeps.

An elementwise operation states ``partial(ans, *operands)`` for each operand. Traced with symbols,
these expressions become the programs of its VJP (for any set of operands that need a cotangent) and
of its JVP.
"""

import numpy as np

from fastbp._core.program import Trace, compile_program

# A zero that is exact, in a sweep of signed zeros: the real part of it among floats.
cdef object EXACT = complex(-0.0, -0.0)


def _trace(partials):
    """Trace the partials.

    Return the trace and their values. Its inputs: the operands, then the answer.
    """
    trace = Trace()
    operands = [trace.input() for _ in partials]
    ans = trace.input()
    return trace, [trace.lift(p(ans, *operands)) for p in partials]


def analyse(partials, nin):
    """Return the partials that are constants (else None), and what each one reads as bit masks."""
    trace, values = _trace(partials)
    masks = []
    for p in values:
        mask = 0
        for k in trace.depends(p):
            mask |= SAVES_ANS if k == nin else 1 << k
        masks.append(mask)
    return tuple([trace.constant(p) for p in values]), masks


def compile_forward(forward, nin, typenum):
    """Compile the value; `forward` is a ufunc, an expression, or the name of a kernel."""
    trace = Trace()
    operands = [trace.input() for _ in range(nin)]
    if isinstance(forward, (str, np.ufunc)):
        ans = trace.call(forward, *operands)
    else:
        ans = trace.lift(forward(*operands))
    return compile_program(trace, [ans], typenum)


def compile_pull(partials, constants, strong, needs, accumulates, signs, typenum):
    """Compile the cotangents of the operands in the bit mask `needs`.

    Inputs: operands, answer, g, then a buffer for each operand in `accumulates`. Outputs: these
    buffers with the cotangents added, then new arrays for the other operands. An operand whose
    partial is one has no new array: its cotangent is `g` itself.

    `strong` is a bit mask of the operands whose partial, where it is zero, makes the product zero.
    With `signs` the sign of a zero says whether it is exact (see `Sweep`).
    """
    trace, values = _trace(partials)
    g = trace.input()
    # The new arrays come last: the very last one may overwrite g, which everything before it reads.
    added, fresh = [], []
    for i in _members(accumulates, len(partials)):
        acc = trace.input()
        if constants[i] == 1:
            added.append(trace.call(np.add, acc, g))
        elif constants[i] == -1 and not signs:
            added.append(trace.call(np.subtract, acc, g))
        else:
            added.append(_add_product(trace, acc, g, values[i], strong >> i & 1, signs))
    for i in _members(needs & ~accumulates, len(partials)):
        if constants[i] == -1 and not signs:
            fresh.append(trace.call(np.negative, g))
        elif constants[i] != 1:
            fresh.append(_product(trace, g, values[i], strong >> i & 1, signs))
    return compile_program(trace, added + fresh, typenum)


def _product(trace, t, partial, strong, signs):
    """A (co)tangent times a partial: zero where the (co)tangent is, or a strong partial."""
    product = trace.call("mulx" if signs else "mulz", t, partial)
    if strong:
        return trace.call("select", partial, product, EXACT if signs else 0.0)
    return product


def _add_product(trace, total, t, partial, strong, signs):
    if strong:
        return trace.call(np.add, total, _product(trace, t, partial, strong, signs))
    return trace.call("mulx_add" if signs else "mulz_add", total, t, partial)


def _members(mask, n):
    return [i for i in range(n) if mask >> i & 1]


def compile_push(partials, constants, strong, moving, signs, typenum):
    """Compile the tangent of the answer.

    Inputs: operands, answer, the tangents of the operands in `moving`. `strong` and `signs` as for
    `compile_pull`.
    """
    trace, values = _trace(partials)
    total = None
    for i in _members(moving, len(partials)):
        t = trace.input()
        if total is None:
            if constants[i] == 1:
                total = t
            else:
                total = _product(trace, t, values[i], strong >> i & 1, signs)
        elif constants[i] == 1:
            total = trace.call(np.add, total, t)
        else:
            total = _add_product(trace, total, t, values[i], strong >> i & 1, signs)
    return compile_program(trace, [total], typenum)
