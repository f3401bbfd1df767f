"""Which function a line of the user's calls, where it is compiled and leaves no frame of its own.

Read from the bytecode of the frame, by names alone: nothing is evaluated again.
"""

import builtins
import dis

__all__ = ["called", "doing"]

_FIRST = ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF")  # and their variants
_THEN = ("LOAD_ATTR", "LOAD_METHOD")


def doing(frame):
    """Return the name of the operation that a frame is at; of an operator, its sign."""
    instruction = _instruction(frame)
    if instruction is None:
        return ""
    return instruction.argrepr if instruction.opname == "BINARY_OP" else instruction.opname


def called(frame):
    """Return the object that a frame calls; None where its line does not tell."""
    here = _instruction(frame)
    if here is None or "CALL" not in here.opname:
        return None
    start = _start(here)
    path = []
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset >= here.offset:
            break
        if start is None or _start(instruction) != start:
            continue
        if instruction.opname.startswith(_FIRST):
            path = [instruction.argval]
        elif instruction.opname.startswith(_THEN):
            path.append(instruction.argval)
        elif instruction.opname.startswith(("CALL", "BINARY")):
            return None  # the result of another call
    return _found(frame, path)


def _instruction(frame):
    found = (i for i in dis.get_instructions(frame.f_code) if i.offset == frame.f_lasti)
    return next(found, None)


def _start(instruction):
    at = instruction.positions
    return None if at is None or at.col_offset is None else (at.lineno, at.col_offset)


def _found(frame, path):
    """Return what names lead to: a variable, then attributes."""
    if not path or not all(isinstance(name, str) for name in path):
        return None
    first, *rest = path
    for namespace in (frame.f_locals, frame.f_globals, vars(builtins)):
        if first in namespace:
            found = namespace[first]
            break
    else:
        return None
    try:
        for name in rest:
            found = getattr(found, name)
    except Exception:  # of a property of the user's
        return None
    return found
