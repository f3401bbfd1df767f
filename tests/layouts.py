"""Random programs of views, copies, orders in memory and writes in place.

A program is a list of steps on a list of arrays: each takes arrays by their numbers and appends its
result, or writes. So it runs on ndarrays and on Variables alike.
"""

import numpy as np

# name -> how it is called; what raises is left out of a program
VIEWS = {
    "[:]": lambda x: x[:],
    "[...]": lambda x: x[...],
    "[::2]": lambda x: x[::2],
    "[1:]": lambda x: x[1:],
    "[::-1]": lambda x: x[::-1],
    "[..., ::2]": lambda x: x[..., ::2],
    "[..., :2]": lambda x: x[..., :2],
    "[..., ::-1]": lambda x: x[..., ::-1],
    "[None]": lambda x: x[None],
    "[..., None]": lambda x: x[..., None],
    "[0]": lambda x: x[0],
    "[..., 1]": lambda x: x[..., 1],
    "T": lambda x: x.T,
    "swapaxes": lambda x: x.swapaxes(0, -1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "squeeze": lambda x: np.squeeze(x),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "reshape(-1)": lambda x: x.reshape(-1),
    "reshape(2, -1)": lambda x: x.reshape(2, -1),
    "reshape(-1, 2)": lambda x: np.reshape(x, (-1, 2)),
    "reshape(-1, F)": lambda x: x.reshape(-1, order="F"),
    "reshape(2, -1, F)": lambda x: np.reshape(x, (2, -1), order="F"),
    "reshape(2, -1, A)": lambda x: np.reshape(x, (2, -1), order="A"),
    "reshape(shape)": lambda x: x.reshape(x.shape),
    "ravel": lambda x: x.ravel(),
    "ravel(F)": lambda x: np.ravel(x, order="F"),
    "ravel(A)": lambda x: np.ravel(x, "A"),
    "T.ravel": lambda x: x.T.ravel(),
    "atleast_2d": lambda x: np.atleast_2d(x),
    "flip": lambda x: np.flip(x),
    "diagonal": lambda x: np.diagonal(x),
}

COPIES = {
    "flatten": lambda x: x.flatten(),
    "flatten(F)": lambda x: x.flatten("F"),
    "copy": lambda x: x.copy(),
    "copy(F)": lambda x: x.copy("F"),
    "np.copy": lambda x: np.copy(x),
    "copy(A)": lambda x: x.copy("A"),
    "astype(F)": lambda x: x.astype(float, order="F", copy=False),
    "astype(C)": lambda x: x.astype(float, order="C", copy=False),
    "astype": lambda x: x.astype(float),
    "-": lambda x: -x,
    "2 *": lambda x: 2.0 * x,
    "+ T": lambda x: x + x.T,
    "+ [0]": lambda x: x + x[0],
    "sum(0)": lambda x: np.sum(x, axis=0),
    "sum(-1)": lambda x: x.sum(axis=-1),
    "sum(0, keepdims)": lambda x: np.sum(x, axis=0, keepdims=True),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "concatenate": lambda x: np.concatenate([x, x]),
    "stack": lambda x: np.stack([x, x]),
    "roll": lambda x: np.roll(x, 1),
    "[[1, 0]]": lambda x: x[[1, 0]],
    "take": lambda x: np.take(x, [1, 0], axis=-1),
    "where": lambda x: np.where(np.ones(x.shape[-1], bool), x, 0.0),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "tile": lambda x: np.tile(x, 2),
    "zeros_like +": lambda x: np.zeros_like(x) + x,
}

# of functions that see no Variable by themselves: of `np` or of fastbp.numpy
MADE = {
    "ascontiguousarray": lambda xp, x: xp.ascontiguousarray(x),
    "asfortranarray": lambda xp, x: xp.asfortranarray(x),
    "asarray(C)": lambda xp, x: xp.asarray(x, order="C"),
    "asarray(F)": lambda xp, x: xp.asarray(x, order="F"),
    "asarray": lambda xp, x: xp.asarray(x),
    "array(None, F)": lambda xp, x: xp.array(x, copy=None, order="F"),
    "array(None, C)": lambda xp, x: xp.array(x, copy=None, order="C"),
    "array(F)": lambda xp, x: xp.array(x, order="F"),
    "array": lambda xp, x: xp.array(x),
    "array(ndmin)": lambda xp, x: xp.array(x, copy=None, ndmin=3),
}


def _assign(x, value):
    x[...] = value


def _assign_first(x, value):
    x[0] = value


def _assign_last(x, value):
    x[..., -1] = value


def _assign_every_second(x, value):
    x[::2] = value


def _assign_flat(x, value):
    x.flat[1] = value


def _add(x, value):
    x += value


def _scale_part(x, value):
    x[..., 1:] *= 1.5


def _out(x, value):
    np.multiply(x, 0.5, out=x)


def _copyto(x, value):
    np.copyto(x, value)


# how a number that depends on the input is written into an array
WRITES = {
    "x[...] = s": _assign,
    "x[0] = s": _assign_first,
    "x[..., -1] = s": _assign_last,
    "x[::2] = s": _assign_every_second,
    "x.flat[1] = s": _assign_flat,
    "x += s": _add,
    "x[..., 1:] *= 1.5": _scale_part,
    "out=x": _out,
    "copyto": _copyto,
}

LAYOUTS = ("C", "F", "T", "strided", "reversed", "column", "permuted", "part")


def laid_out(x, layout):
    """Return an array with the numbers of `x`, in a layout of memory."""
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "T":
        return np.ascontiguousarray(x.T).T
    if layout == "strided":
        return np.repeat(x, 2, axis=-1)[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(x[::-1])[::-1]
    if layout == "column":
        return np.repeat(x[..., None], 9, axis=-1)[..., 3]
    if layout == "permuted":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)
    if layout == "part":
        return np.concatenate([x, x, x[..., :1]], axis=-1)[..., : x.shape[-1]]
    return x.copy()


def step(name, arrays, at, xp, s):
    """Run one step on a list of arrays; return whether it wrote."""
    x = arrays[at]
    if name in WRITES:
        WRITES[name](x, s)
        return True
    if name in MADE:
        arrays.append(MADE[name](xp, x))
    else:
        arrays.append((VIEWS.get(name) or COPIES[name])(x))
    return False


def program(rng, x, length, most=200):
    """Return a random list of steps (name, number of the array) that NumPy runs on `x`."""
    steps, arrays = [], [x.copy() if x.flags.c_contiguous else same_layout(x)]
    while len(steps) < length:
        kind = rng.choice(4, p=[0.45, 0.12, 0.13, 0.3])
        names = (VIEWS, COPIES, MADE, WRITES)[kind]
        name = str(rng.choice(list(names)))
        at = int(rng.choice(len(arrays)))
        if rng.random() < 0.5:
            at = len(arrays) - 1
        trial = list(arrays)
        try:
            step(name, trial, at, np, 0.5)
        except (ValueError, IndexError, TypeError, np.exceptions.AxisError):
            continue
        new = trial[-1]
        if not isinstance(new, np.ndarray) or not new.ndim or not 0 < new.size <= most:
            continue
        arrays = trial
        steps.append((name, at))
    return steps


def same_layout(x):
    """Return a copy with the strides of `x`, in memory of its own."""
    low = min(0, *[(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)])
    high = sum([max(0, (n - 1) * s) for n, s in zip(x.shape, x.strides, strict=True)])
    memory = np.zeros((high - low) // x.itemsize + 1)
    made = np.ndarray(x.shape, x.dtype, memory, -low, x.strides)
    made[...] = x
    return made


def run(steps, x, xp, watch=None):
    """Return the weighted sum of all arrays that a program leaves."""
    arrays = [x]
    for k, (name, at) in enumerate(steps):
        s = arrays[0].reshape(-1)[k % arrays[0].size] * 0.75
        step(name, arrays, at, xp, s)
        if watch is not None:
            watch(k, arrays)
    total = 0.0
    for k, y in enumerate(arrays):
        total = total + np.sum(y * np.cos(k + np.arange(y.size)).reshape(y.shape))
    return total
