"""Plans in files: the same results, nothing else than plans, and no memory but their own."""

import copy
import io
import json
import pickle
import random
from typing import NamedTuple

import numpy as np
import pytest

import fastbp as bp
from fastbp import tree
from fastbp.compiling import Loaded, files
from fastbp.errors import NoFunctionError, PlanFileError

X = np.array([0.5, -1.25, 2.0])
M = np.array([[2.0, 0.5, 0.0], [0.25, 3.0, 1.0], [0.5, 0.5, 4.0]])
WEIGHTS = np.array([1.0, 2.0, 3.0])


class Pair(NamedTuple):
    a: object
    b: object


def network(p, x, y):
    return np.mean((np.tanh(x @ p["w"] + p["b"]) - y) ** 2)


def training(params, state, x, y):
    value, slopes = bp.value_and_grad(network)(params, x, y)
    return *bp.optim.Adam(0.01).update(slopes, state, params), value


PARAMS = {"w": M[:, :2].copy(), "b": np.zeros(2)}
FUNCTIONS = {
    "elementwise": (lambda x: np.sin(x) * x + np.exp(-x), (X,)),
    "gradient": (bp.grad(lambda x: np.sum(np.tanh(x) ** 3)), (X,)),
    "single precision": (bp.grad(lambda x: np.sum(np.sin(x))), (X.astype(np.float32),)),
    "complex": (lambda z: np.exp(z) * (2 + 1j), (X + 1j * X,)),
    "training step": (training, (PARAMS, bp.optim.Adam().init(PARAMS), M, PARAMS["w"])),
    "calls": (
        lambda x, k: {"s": np.sort(x, axis=1)[k], "i": np.argmax(x, axis=0), "n": None},
        (M, 1),
    ),
    "solve": (bp.grad(lambda a, b: np.sum(np.linalg.solve(a, b) ** 2), (0, 1)), (M, X)),
    "masks": (bp.grad(lambda x: np.sum(np.where(x > 0, x, 0.1 * x)) + np.max(x)), (X,)),
    "moved": (lambda x: np.concatenate([x[::-1], x[:1], np.zeros(2)])[::2], (X,)),
    "integers": (lambda i, x: x[np.clip(i, 0, 2)] + (i + 1), (np.array([0, 2]), X)),
    "containers": (lambda p: {"a": p["l"][0] + 1, "b": [p["t"][0] * 2, (p["t"][1],)]}, None),
    "keywords": (lambda x, *, scale: {"y": x * scale, "note": "fixed", "z": 2.5}, None),
    "fixed arrays": (lambda x: (x + 1.0, np.arange(3)), (X,)),
    "around": (lambda x: x @ WEIGHTS, (X,)),
    "loop": (
        bp.grad(lambda x: np.sum(bp.scan(lambda h, u: (np.tanh(h + u), h), x, M)[0])),
        (X,),
    ),
    "not finite": (lambda x: np.where(x > 0, np.inf, -0.0) + x * np.array([np.nan, 1, 2]), (X,)),
    "jacobian of a matrix": (bp.jacobian(lambda x: np.tanh(x @ M.T)), (M,)),
    "transposed masks": (bp.grad(lambda x: np.sum(np.where(x.T > 0.3, x.T, x.T**2))), (M,)),
    "empty": (lambda x: (x[:0], np.sum(x[:0])), (X,)),
}
KEYWORDS = {"keywords": {"scale": 2.0}}
ARGS = {"containers": ({"l": [X, X], "t": (M, 2.0)},), "keywords": (X,)}


def case(name):
    f, args = FUNCTIONS[name]
    return bp.compile(f), ARGS.get(name, args), KEYWORDS.get(name, {})


def compiled(name):
    f, args, kwargs = case(name)
    f(*args, **kwargs)
    return f, args, kwargs


def moved(args):
    return tree.map(lambda x: x * 1.01 if getattr(x, "dtype", None) in ("f4", "f8", "c16") else x,
                    args)  # fmt: skip


def assert_same(found, want):
    assert type(found) is type(want)
    a, b = tree.flatten(found), tree.flatten(want)
    assert a[1] == b[1]
    for x, y in zip(a[0], b[0], strict=True):
        assert type(x) is type(y)
        if isinstance(x, np.ndarray | np.generic):
            assert x.dtype == y.dtype
            assert x.shape == y.shape
            assert x.tobytes() == y.tobytes()
        else:
            assert x == y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_loaded_computes_the_same(name, tmp_path):
    f, args, kwargs = compiled(name)
    path = tmp_path / "f.plan"
    f.save(path)
    loaded = bp.load(path)
    for values in (args, moved(args), args):
        assert_same(loaded(*values, **kwargs), f(*values, **kwargs))
    assert loaded.explain() == f.explain()
    assert loaded.stats() == {"plans": 1, "recorded": []}
    # What was read can be written: the same file again, and what pickles.
    loaded.save(tmp_path / "again.plan")
    for again in (bp.load(tmp_path / "again.plan"), pickle.loads(pickle.dumps(loaded))):
        assert_same(again(*args, **kwargs), f(*args, **kwargs))
    assert files.written(loaded.entries, "f") == files.written(
        bp.load(tmp_path / "again.plan").entries, "f"
    )


def test_several_plans_and_what_they_take(tmp_path):
    f = bp.compile(lambda x, n: x * n)
    f(X, 2), f(M, 2), f(1.5, 3)
    f.save(tmp_path / "f.plan")
    loaded = bp.load(tmp_path / "f.plan")
    assert_same((loaded(M, 2), loaded(X, 2), loaded(2.5, 3)), (M * 2, X * 2, np.float64(7.5)))
    message = r"takes \(float64\[3\], 2\) or \(float64\[3, 3\], 2\) or \(float, 3\)$"
    for args in ((X, 3), (X.astype(np.float32), 2), (X,), ()):
        with pytest.raises(NoFunctionError, match=message):
            loaded(*args)
    with pytest.raises(NoFunctionError, match="has no derivative: save a compiled gradient"):
        bp.grad(lambda x: np.sum(loaded(x, 2)))(X)
    assert repr(loaded) == "<compiled <lambda>, from a file>"


def test_bind_of_what_is_loaded(tmp_path):
    f, (params, state, x, y), _ = compiled("training step")
    f.save(tmp_path / "f.plan")
    own = copy.deepcopy((params, state))
    step = bp.load(tmp_path / "f.plan").bind(*own, x, y, out=(*own, np.zeros(())))
    for _ in range(3):
        step()
        params, state, _ = f(params, state, x, y)
    assert_same(own, (params, state))
    with pytest.raises(NoFunctionError, match="has no plan for these arguments"):
        bp.load(tmp_path / "f.plan").bind(X)


def test_arrays_around_are_those_of_the_time_of_saving(tmp_path):
    around = np.array([1.0, 2.0, 3.0])
    f = bp.compile(lambda x: x @ around)
    f(X)
    around[0] = 10.0
    f.save(tmp_path / "f.plan")
    want = f(X)
    around[:] = 0.0
    assert bp.load(tmp_path / "f.plan")(X) == want != f(X)


def test_where_the_function_is_needed(tmp_path):
    f = bp.compile(bp.grad(lambda x: np.sum(np.sqrt(x))))
    f(np.ones(3))
    g = bp.compile(bp.grad(lambda x: np.linalg.norm(x - X)))
    g(M[0])
    refused = 0
    for function, args in ((f, (np.array([1.0, 0.0, 2.0]),)), (g, (X,))):
        function.save(tmp_path / "f.plan")
        loaded = bp.load(tmp_path / "f.plan")
        with np.errstate(all="ignore"):
            want = function(*args)
            try:
                np.testing.assert_array_equal(loaded(*args), want)
            except NoFunctionError:
                refused += 1
    assert refused
    with pytest.raises(NoFunctionError, match="cannot tell the result for these values"):
        loaded(*args)
    singular = bp.compile(np.linalg.inv)
    singular(M)
    singular.save(tmp_path / "f.plan")
    with pytest.raises(np.linalg.LinAlgError):
        bp.load(tmp_path / "f.plan")(np.zeros((3, 3)))


def test_what_no_file_can_hold(tmp_path):
    path = tmp_path / "f.plan"
    with pytest.raises(PlanFileError, match="save: there is no plan yet"):
        bp.compile(np.sin).save(path)

    def saved(f, *args):
        f = bp.compile(f)
        f(*args)
        f.save(path)

    own = bp.custom_rule(lambda x: np.sin(x), vjp=lambda g, ans, x: g * np.cos(x))
    with pytest.raises(PlanFileError, match=r"save: the plan calls '.*', which is no row"):
        saved(own, X)
    with pytest.raises(PlanFileError, match="save: a Pair is among the arguments or results"):
        saved(lambda p: p.a, Pair(X, X))
    with pytest.raises(PlanFileError, match="save: a Pair is among the arguments or results"):
        saved(lambda x: Pair(x, x), X)
    with pytest.raises(PlanFileError, match=r"save: an argument has a .* 'abs', which no file"):
        saved(lambda x, f: f(x), X, abs)
    assert not path.exists()


# ---- damaged and made up


def content(data):
    with np.load(io.BytesIO(data)) as found:
        arrays = {name: found[name] for name in found.files}
    return json.loads(arrays.pop("plan").tobytes()), arrays


def with_content(head, arrays):
    file = io.BytesIO()
    text = json.dumps(head).encode()
    np.savez(file, plan=np.frombuffer(text, np.uint8), **arrays)
    return file.getvalue()


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        bp.load(tmp_path / "nothing.plan")
    for data in (b"", b"PK\x03\x04", b"\x80\x04." * 10, with_content({}, {}), with_content([], {})):
        with pytest.raises(PlanFileError, match="load: no file of a plan"):
            Loaded(data)
    f, *_ = compiled("calls")
    data = files.written(f.entries, "f")
    head, arrays = content(data)
    with pytest.raises(PlanFileError, match="version 2 of the format, this fastbp reads 1"):
        Loaded(with_content(head | {"version": 2}, arrays))
    with pytest.raises(PlanFileError, match=r"calls functions of fastbp 9.9, this is .*: save it"):
        Loaded(with_content(head | {"fastbp": "9.9"}, arrays))
    for part in (data[:-30], data[:1000], data[100:]):
        with pytest.raises(PlanFileError):
            Loaded(part)


def test_fused_recurrent_cells_are_refused(tmp_path):
    W, U = np.zeros((1, 3)), np.ones((1, 3))
    compiled = bp.compile(lambda xs: bp.recurrent.gru(xs, np.zeros(1), W=W, U=U)[0])
    compiled(np.ones((2, 1)))
    with pytest.raises(PlanFileError, match=r"write the recurrent cell with fastbp\.scan"):
        compiled.save(tmp_path / "gru.plan")


def test_a_pickle_is_not_read(tmp_path):
    file = io.BytesIO()
    np.savez(file, plan=np.array([{"format": "fastbp plan"}], object))
    with pytest.raises(PlanFileError, match="no file of a plan"):
        Loaded(file.getvalue())


@pytest.mark.parametrize("name", ["training step", "calls", "loop"])
def test_flipped_bits(name):
    """Each is noticed, or changes nothing: it was a date or so."""
    f, args, kwargs = compiled(name)
    want, data = f(*args, **kwargs), files.written(f.entries, "f")
    draw = random.Random(5)
    noticed = 0
    for _ in range(150):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            loaded = Loaded(bytes(damaged))
        except PlanFileError:
            noticed += 1
            continue
        assert_same(loaded(*args, **kwargs), want)
    assert noticed > 100


VALUES = (-1, 0, 1, 3, 7, 64, 2**31, 2**62, 2**70, -(2**40), True, None, "f8", "|O", [], {}, 0.5)


def places(x, path=()):
    """Every leaf and container of JSON."""
    if path:
        yield path
    items = enumerate(x) if isinstance(x, list) else x.items() if isinstance(x, dict) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def edited(head, draw):
    head = copy.deepcopy(head)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        root = head["programs"] if head["programs"] and draw.random() < 0.3 else head["plans"]
        found = list(places(root))
        if not found:
            continue
        path = draw.choice(found)
        for key in path[:-1]:
            root = root[key]
        old, kind = root[path[-1]], draw.randrange(4)
        if kind == 0 and type(old) is int:
            root[path[-1]] = old + draw.choice((-8, -1, 1, 8, 64, 4096))
        elif kind == 1 and isinstance(root, list) and len(root) > 1:
            j = draw.randrange(len(root))
            root[path[-1]], root[j] = root[j], old
        elif kind == 2 and isinstance(root, list):
            root.pop(path[-1])
        else:
            root[path[-1]] = copy.deepcopy(draw.choice(VALUES))
    return head


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edited_files(name):
    """A file that was made up is refused, or computes something: in memory of its own."""
    f, args, kwargs = compiled(name)
    head, arrays = content(files.written(f.entries, "f"))
    draw = random.Random(name)
    for _ in range(60):
        try:
            loaded = Loaded(with_content(edited(head, draw), arrays))
        except PlanFileError:
            continue
        before = pickle.dumps(args)
        with np.errstate(all="ignore"):
            try:
                loaded(*args, **kwargs)
            except (Exception, MemoryError):  # of what it calls, or there is no such plan
                pass
        assert pickle.dumps(args) == before
