# Operations of several outputs: a joint node has the operands, what the rules read and the rules.
# Each output with a derivative has a node with the joint one as its parent, which only says which
# output it is. A sweep has for a joint node a list of (co)tangents. Included by graph.pyx.
#
# A joint node knows its outputs by pointers, since they have it as their parent, and keeps the
# values that rules read. An output that nobody holds is gone with its value; a rule that reads it
# gets a new node. Both have a token: as long as there are two references to it, the node is there.

cdef Op OUTPUT_OP = Op("output", None, nin=1)
OUTPUT_OP.kind = OUTPUT


@cython.final
@cython.no_gc
cdef class Output:
    """What a joint node knows of an output."""

    def __init__(self, *args):
        raise TypeError("an Output is made by the engine")


cdef tuple _pair(Op op, object found):
    """What a function with residuals returns."""
    if type(found) is not tuple or len(<tuple> found) != 2:
        raise TypeError(f"{op.name}: its function must return a pair, the value and residuals, "
                        f"not a {type(found).__name__}")
    return found


cdef list _outputs(Op op, object found):
    """The outputs as arrays; None where there is a single one, which is no tuple."""
    cdef Py_ssize_t k, n
    if not isinstance(found, tuple):
        if op.nout < 0:
            return None
        raise ShapeError(f"{op.name}: its function must return a tuple of {op.nout} outputs, "
                         f"not a {type(found).__name__}")
    n = len(found)
    if op.nout >= 0 and n != op.nout:
        raise ShapeError(
            f"{op.name}: its function must return {op.nout} outputs; it returned {n}")
    return [x if k in op.constants else _output_array(op, k, x) for k, x in enumerate(found)]


cdef cnp.ndarray _output_array(Op op, Py_ssize_t k, object x):
    cdef cnp.ndarray array
    if not cnp.PyArray_CheckExact(x):
        x = as_array(x, f"{op.name}: output {k}")
    array = x
    return array if array.dtype.kind in "biu" else _float_array(op, array)


cdef tuple _record_joint(Op op, tuple operands, list values, list parents, dict static,
                         list found, object residuals):
    """Record several outputs: Variables, and the constant ones as they are."""
    cdef list outputs = [], results = []
    cdef Output output
    cdef Node joint = None
    cdef Py_ssize_t k, size = 0
    cdef cnp.ndarray array
    if _keeps(operands):
        found = [np.asarray(x) if isinstance(x, np.generic) else x for x in found]
    for k in range(len(found)):
        output = Output.__new__(Output)
        output.index = k
        output.constant = k in op.constants or found[k].dtype.kind in "biu"
        if cnp.PyArray_CheckExact(found[k]):
            array = found[k]
            output.shape, output.typenum = (<object> array).shape, cnp.PyArray_TYPE(array)
            if not output.constant:
                size += cnp.PyArray_SIZE(array)
                if joint is None or output.typenum == cnp.NPY_DOUBLE:
                    joint = new_node(op, array, None)
        if op.saves & SAVES_ANS or k in op.saved_outputs:
            output.value = found[k]
            if output.constant and cnp.PyArray_CheckExact(found[k]):
                # The caller gets the array itself, and may write into it.
                output.value = cnp.PyArray_NewCopy(found[k], cnp.NPY_KEEPORDER)
        outputs.append(output)
    if joint is None:
        if _keeps(operands):
            return _passive_call(op, operands, static)
        return tuple(found)
    joint.shape = (size,)       # of all cotangents that a sweep may have for it
    joint.ans = tuple(outputs)
    _complete(joint, operands, values, parents, static, residuals)
    if not joint.flags & COLLECTABLE:
        PyObject_GC_UnTrack(<PyObject *> joint.ans)
    for k in range(len(found)):
        output = <Output> outputs[k]
        if not output.constant:
            results.append(_handle_on(output_node(joint, k), found[k], operands, values, parents))
        elif joint.flags & KEEPS and output.shape is not None:
            results.append(_new_passive(
                cnp.PyArray_NewCopy(found[k], cnp.NPY_CORDER), output_node(joint, k)))
        else:
            if joint.flags & KEEPS:     # an object that no node stands for
                _leave("value")
            results.append(found[k])
    return tuple(results)


cdef Node output_node(Node joint, Py_ssize_t k):
    """The node of an output: the one that there is, if it is alive."""
    cdef Output output = <Output> joint.ans[k]
    cdef Node node
    # Nobody but the two has references to the token.
    if (output.token is not None and Py_REFCNT(<PyObject *> output.token) > 1
            and Py_REFCNT(output.node) > 0):
        return <Node> output.node
    node = Node.__new__(Node)
    node.id = joint.id      # as old as the operation, whenever a rule asks for it
    node.op, node.a, node.saved_b, node.static = OUTPUT_OP, joint, output, NO_STATIC
    node.shape, node.typenum = output.shape, output.typenum
    output.token = node.saved_a = object()
    output.node = <PyObject *> node
    finish(node, joint.flags | (PASSIVE if joint.flags & KEEPS and output.constant else 0))
    return node


cdef Op maker_of(Node node):
    """The operation that a value is from: of an output, the one with several."""
    return node.a.op if node.op.kind == OUTPUT else node.op
