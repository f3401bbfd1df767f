"""Plans in files: what the steps of a plan emit, written down, and emitted again.

A file is a zip archive, as of `numpy.savez`, without pickles: arrays, and JSON that says how the
arguments look, which instructions there are, and how the result is made. Kinds of instructions
are not known here: those are the methods of a `Machine`, which checks what they are given.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import zipfile
from typing import Any

import numpy as np

from fastbp._core.caller import Entry, Form, Spec
from fastbp._core.machine import Machine
from fastbp._core.replay import Plan
from fastbp.compiling.encoding import (
    Decoder,
    Encoder,
    dtype_from,
    structure_from,
    structure_of,
)
from fastbp.compiling.recording import Built
from fastbp.compiling.steps import Step
from fastbp.compiling.values import Storage, Value
from fastbp.errors import PlanFileError

__all__ = ["Emitted", "read", "written"]

FORMAT, VERSION = "fastbp plan", 1
INSTRUCTIONS = frozenset(
    name for name in vars(Machine) if not name.startswith("_") and callable(getattr(Machine, name))
) - {"size_of"}
_NUMBERS = {t.__name__: t for t in (float, np.float64, np.float32, np.complex128, np.complex64)}
_ITEMS = {float: np.dtype(np.float64)}


class Recorder:
    """Stands for a machine: keeps what is emitted."""

    def __init__(self) -> None:
        self.emitted: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name not in INSTRUCTIONS:
            raise AttributeError(name)
        return lambda *args: self.emitted.append((name, args))


class Emitted(Step):
    """An instruction from a file: emits what was emitted when it was written."""

    def __init__(
        self, kind: str, what: str, writes: list[Value], memory: list[list[Storage]], emitted: Any
    ) -> None:
        super().__init__([], writes)
        self.kind, self.what, self.memory, self.emitted = kind, what, memory, emitted

    def described(self) -> str:
        return self.what

    def read(self) -> list[Storage]:
        return self.memory[0]

    def written(self) -> list[Storage]:
        return self.memory[1]

    def emit(self, machine: Any) -> None:
        for name, args in self.emitted:
            getattr(machine, name)(*args)


# ---- writing


def written(entries: list[Entry], name: str) -> bytes:
    """Return a file of plans; `name` is that of the function.

    Raises
    ------
    PlanFileError
        If a plan has what no file can hold.
    """
    encoder = Encoder()
    plans = [_entry(encoder, entry) for entry in entries]
    text = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "fastbp": _version(),
            "name": name,
            "programs": encoder.programs,
            "plans": plans,
        },
        allow_nan=False,
        separators=(",", ":"),
    )
    arrays: dict[str, Any] = {f"array{k}": x for k, x in enumerate(encoder.arrays)}
    file = io.BytesIO()
    # NumPy 2.0 would take allow_pickle= for the name of an array; none of these needs it.
    np.savez(file, plan=np.frombuffer(text.encode(), np.uint8), **arrays)
    return file.getvalue()


def _version() -> str:
    return str(importlib.import_module("fastbp").__version__)


def _entry(encoder: Encoder, entry: Entry) -> dict[str, Any]:
    plan, machine = entry.plan, entry.plan.machine
    around = entry.found()  # these arrays become constants
    first = plan.n_inputs - len(around)
    constants = {k: x for k, x in enumerate(around, first) if plan.inputs[k] is not None}
    constants |= machine.constants
    ids: dict[int, int] = {}
    form: Any
    if entry.form is None:
        built = entry.build
        if not isinstance(built, Built):
            raise PlanFileError("save: a result is made by code")
        leaves = [[k, encoder.encode(x if k < 0 else None, "a result")] for k, x in built.leaves]
        structure = encoder.encode(structure_of(built.structure), "a result")
        form = ["built", structure, leaves]
    else:
        form = _form(encoder, entry.form)
    return {
        "arguments": [_spec(encoder, spec) for spec in entry.arguments],
        "keywords": None if entry.keywords is None else _spec(encoder, entry.keywords),
        "form": form,
        "guards": encoder.encode(tuple(entry.guards), "a guard"),
        "n_inputs": plan.n_inputs,
        "n_buffers": machine.n_buffers,
        "work_bytes": machine.work_bytes,
        "constants": encoder.encode(tuple(constants.items()), "a constant"),
        "outputs": encoder.encode(tuple(plan.returned), "an output"),
        "steps": [_step(encoder, step, ids) for step, _, _ in plan.steps],
        "facts": encoder.encode(_tuples(plan.facts), "a step"),
    }


def _tuples(facts: Any) -> Any:
    return tuple([_tuples(x) for x in facts]) if isinstance(facts, list | tuple) else facts


def _step(encoder: Encoder, step: Step, ids: dict[int, int]) -> list[Any]:
    recorder = Recorder()
    step.emit(recorder)  # type: ignore[arg-type]
    what = step.described() or step.kind

    def place(storage: Storage) -> tuple[Any, ...]:
        storage = storage.outermost
        return storage.kind, ids.setdefault(id(storage), len(ids)), storage.buffer

    values = [
        [(*place(v.storage), v.shape, v.dtype) for v in step.writes],
        [place(storage) for storage in step.read()],
        [place(storage) for storage in step.written()],
    ]
    return [
        step.kind,
        step.described(),
        encoder.encode(_tuples(values), what),
        [[name, encoder.encode(_plain(args), what)] for name, args in recorder.emitted],
    ]


def _plain(x: Any) -> Any:
    """Return arguments of an instruction with numbers of Python's."""
    if type(x) is tuple or type(x) is list:
        return type(x)([_plain(item) for item in x])
    return int(x) if isinstance(x, np.integer) else x


def _spec(encoder: Encoder, spec: Spec) -> list[Any]:
    parts = [_spec(encoder, part) for part in spec.parts]
    if spec.name == "array":
        shape, dtype = spec.value
        layout = spec.layout if isinstance(spec.layout, str) else list(spec.layout)
        return ["array", list(shape), dtype.str, spec.number, layout]
    if spec.name == "number":
        return ["number", spec.value.__name__, spec.number]
    if spec.name == "tree":
        return ["tree", encoder.encode(structure_of(spec.value), "an argument"), parts]
    return [spec.name, encoder.encode(spec.value, "an argument"), parts]


def _form(encoder: Encoder, form: Form) -> list[Any]:
    value = encoder.encode(form.value, "a result")
    return [form.kind, value, [_form(encoder, part) for part in form.parts]]


# ---- reading


def read(data: bytes) -> tuple[list[Entry], str]:
    """Return the plans of a file, and the name of the function.

    Raises
    ------
    PlanFileError
        If it is not a file of plans, of another version, damaged, or made up.
    """
    try:
        text, arrays = _opened(data)
        head = json.loads(text)
    except (Exception, MemoryError) as error:
        raise PlanFileError(f"load: no file of a plan, or a damaged one: {error}") from None
    try:
        if head["format"] != FORMAT:
            raise KeyError("format")
        version, made_by = head["version"], head["fastbp"]
    except Exception as error:
        raise PlanFileError(f"load: no file of a plan: {error!r}") from None
    if version != VERSION:
        raise PlanFileError(
            f"load: the file has version {version!r} of the format, this fastbp reads {VERSION}: "
            "save the plan again"
        )
    try:
        decoder = Decoder(arrays, head["programs"])
        entries = [_read_entry(decoder, facts) for facts in head["plans"]]
        calls = any(step.kind == "call" for e in entries for step, _, _ in e.plan.steps)
        name = head["name"]
        if not isinstance(name, str) or not entries:
            raise ValueError("there is no plan")
    except (Exception, MemoryError) as error:
        raise PlanFileError(f"load: the file is damaged, or made up: {error}") from None
    if calls and made_by != _version():
        raise PlanFileError(
            f"load: the plan calls functions of fastbp {made_by}, this is {_version()}: "
            "save it again"
        )
    return entries, name


def _opened(data: bytes) -> tuple[str, list[np.ndarray]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.testzip() is not None:
            raise ValueError("a checksum is wrong")
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        text = found["plan"].tobytes().decode()
        arrays = [np.ascontiguousarray(found[f"array{k}"]) for k in range(len(found.files) - 1)]
        arrays = [x.reshape(found[f"array{k}"].shape) for k, x in enumerate(arrays)]
    for x in arrays:
        dtype_from(x.dtype.str)
    return text, arrays


def _read_entry(decoder: Decoder, facts: dict[str, Any]) -> Entry:
    inputs: dict[int, tuple[tuple[int, ...], np.dtype]] = {}
    n = facts["n_inputs"]
    arguments = tuple([_read_spec(decoder, x, inputs) for x in facts["arguments"]])
    keywords = None if facts["keywords"] is None else _read_spec(decoder, facts["keywords"], inputs)
    outputs = [
        (_natural(k), _shape(shape), dtype) for k, shape, dtype in decoder.decode(facts["outputs"])
    ]
    sizes = {k: (_size(shape, dtype), False) for k, (shape, dtype) in inputs.items()}
    if _natural(n) > len(inputs) + len(facts["constants"]) + 64 or max(inputs, default=-1) >= n:
        raise ValueError("an input is not there")
    for k, shape, dtype in outputs:
        if k in sizes or k < n:
            raise ValueError("two ends of a plan are one buffer")
        sizes[k] = _size(shape, dtype), True
    constants = {_natural(k): _array(x) for k, x in decoder.decode(facts["constants"])}
    storages: dict[int, Storage] = {}
    steps = [_read_step(decoder, x, storages) for x in facts["steps"]]
    n_buffers = _natural(facts["n_buffers"])
    if n_buffers > n + 1 + len(outputs) + len(constants) + sum(len(s.emitted) for s in steps) * 64:
        raise ValueError("buffers that nothing brings")
    machine = Machine(n_buffers, n, _natural(facts["work_bytes"]), constants, sizes)
    emitted = []
    for step in steps:
        first = machine.n_steps
        step.emit(machine)
        emitted.append((step, first, machine.n_steps))
    guards = list(decoder.decode(facts["guards"]))
    if len(guards) > len(outputs) or not all(x is None or type(x) is np.ndarray for x in guards):
        raise ValueError("a guard is no array")
    plan = Plan(
        machine,
        [inputs.get(k) for k in range(n)],
        outputs,
        [_fact(x) for x in decoder.decode(facts["facts"])],
        emitted,
    )
    form = _read_form(decoder, facts["form"], len(outputs) - len(guards))
    return Entry(plan, arguments, keywords, [], [], [], [], guards, form)


def _read_spec(decoder: Decoder, data: list[Any], inputs: dict[int, Any]) -> Spec:
    kind = data[0]
    if kind == "array":
        shape, dtype = _shape(data[1]), dtype_from(data[2])
        _input(inputs, data[3], shape, dtype)
        # Of no memory: only its layout counts.
        spec = Spec("array", np.broadcast_to(np.zeros((), dtype), shape), (), data[3])
        spec.require(_layout(data[4], shape))
        return spec
    if kind == "number":
        number = _NUMBERS[data[1]]
        _input(inputs, data[2], (), np.dtype(number))
        return Spec("number", number, (), data[2])
    value, parts = decoder.decode(data[1]), [_read_spec(decoder, x, inputs) for x in data[2]]
    if kind == "tree":
        value = structure_from(value)
        fitting = value.num_leaves == len(parts)
    elif kind == "dict":
        fitting = isinstance(value, list) and len(value) == len(parts)
    elif kind in ("tuple", "list"):
        fitting = value is None
    else:
        fitting = not parts and kind in ("static", "elements")
        fitting = fitting and (kind == "static" or type(value) is np.ndarray)
    if not fitting:
        raise ValueError(f"no argument is {kind!r}")
    return Spec(kind, value, tuple(parts))


def _layout(data: Any, shape: tuple[int, ...]) -> str | tuple[int, ...]:
    if data in ("any", "C"):
        return str(data)
    if type(data) is not list or len(data) != len(shape) or any(type(s) is not int for s in data):
        raise ValueError(f"no layout is {data!r}")
    return tuple(data)


def _input(inputs: dict[int, Any], number: Any, shape: tuple[int, ...], dtype: Any) -> None:
    if type(number) is not int or number < -1 or number in inputs:
        raise ValueError(f"no input is number {number}")
    if number >= 0:
        inputs[number] = shape, dtype


def _read_form(decoder: Decoder, data: list[Any], n: int) -> Any:
    kind, value, parts = data
    if kind == "built":
        leaves = [(k, decoder.decode(x)) for k, x in parts]
        structure = structure_from(decoder.decode(value))
        if not all(type(k) is int and -1 <= k < n for k, _ in leaves):
            raise ValueError("a result that is not there")
        if structure.num_leaves != len(leaves):
            raise ValueError("a result of another structure")
        return Built(structure, leaves)
    value = decoder.decode(value)
    if kind == "output" and not (type(value) is int and 0 <= value < n):
        raise ValueError("a result that is not there")
    if kind == "dict" and not (type(value) is list and len(value) == len(parts)):
        raise ValueError("a result without keys")
    if kind not in ("output", "fixed", "tuple", "list", "dict"):
        raise ValueError(f"no result is {kind!r}")
    return Form(kind, value, tuple([_read_form(decoder, x, n) for x in parts]))


def _read_step(decoder: Decoder, data: list[Any], storages: dict[int, Storage]) -> Emitted:
    kind, what, values, emitted = data
    writes, *memory = decoder.decode(values)
    written = [
        Value(_storage(storages, x[:3]), _shape(shape), dtype) for *x, shape, dtype in writes
    ]
    places = [[_storage(storages, x) for x in part] for part in memory]
    if len(places) != 2 or not all(isinstance(v.dtype, np.dtype) for v in written):
        raise ValueError("an instruction that reads and writes nothing")
    found = []
    for name, args in emitted:
        if name not in INSTRUCTIONS:
            raise ValueError(f"no instruction is {name!r}")
        decoder.last_slot = -1
        args = decoder.decode(args)
        if name == "call":
            function, operands, results = args
            _check_call(function, operands, results, decoder.last_slot)
        found.append((name, args))
    if not isinstance(kind, str) or not isinstance(what, str):
        raise ValueError("an instruction without a name")
    return Emitted(kind, what, written, places, found)


def _check_call(function: Any, operands: list[Any], results: list[Any], last_slot: int) -> None:
    """Refuse what a machine would believe of a call."""
    if not callable(function) or last_slot >= len(operands):
        raise ValueError("a call of an operand that is not there")
    for x in operands:
        fitting = x[0] == "constant" and len(x) == 2
        fitting = fitting or (x[0] == "given" and type(x[1]) is int and x[1] >= 0)
        if not fitting and not (x[0] == "array" and len(x) == 5 and isinstance(x[4], np.dtype)):
            raise ValueError("a call of no operand")
    for facts in results:
        if facts is None:
            continue
        number, buffer, shape, dtype = facts
        if not 0 <= number < 1 << 20 or type(buffer) is not int or buffer < -1:
            raise ValueError("a call with no place for its result")
        if not isinstance(dtype, np.dtype) and (dtype is not None or buffer >= 0):
            raise ValueError("a call with a result of no dtype")
        _shape(shape)


def _storage(storages: dict[int, Storage], data: Any) -> Storage:
    kind, number, buffer = data
    if _natural(number) not in storages:
        storages[number] = Storage(str(kind), 0, number)
        storages[number].buffer = int(buffer)
    return storages[number]


def _fact(data: Any) -> tuple[str, list[Any], str]:
    kind, shapes, what = data
    return str(kind), list(shapes), str(what)


def _natural(x: Any) -> int:
    if type(x) is not int or not 0 <= x < 1 << 48:
        raise ValueError(f"{x!r} is no size")
    return x


def _shape(x: Any) -> tuple[int, ...]:
    if not isinstance(x, tuple | list) or len(x) > 32:
        raise ValueError(f"{x!r} is no shape")
    return tuple([_natural(n) for n in x])


def _array(x: Any) -> np.ndarray:
    if type(x) is not np.ndarray:
        raise ValueError("a constant is no array")
    return x


def _size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return _natural(math.prod(shape) * dtype.itemsize)
