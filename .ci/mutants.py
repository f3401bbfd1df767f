#!/usr/bin/env python
"""Mutation testing of the derivative formulas in fastbp/rules: does a wrong formula fail a test?

    python .ci/mutants.py [--sample N] [--seed S] [--jobs J] [FILE or FILE:LINE of fastbp/rules ...]

A mutant is one change of one formula: a sign flipped, + and - or * and / exchanged, a factor or a
term dropped, a constant changed, the operands of an operator or the first two arguments of a call
exchanged. Formulas are the rules of all rows (partials, VJPs, JVPs) and the functions of
fastbp/rules that these call. N sites are drawn from the files in turn, so every family takes part.

Tests are collected once. Each mutant is a fork of that process: it gets the code of the changed
function, and runs the tests that go by the names of the rows concerned, cheap ones first, then
those of the same family, until one fails. So a mutant costs seconds. A last fork runs, without any
mutant, each test that killed one.
"""

import argparse
import ast
import collections
import contextlib
import functools
import gc
import inspect
import os
import pickle
import random
import re
import signal
import sys
import time
import types
from pathlib import Path

for threads in ("OPENBLAS_NUM_THREADS", "FASTBP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "fastbp" / "rules"
TESTS = ROOT / "tests" / "rules"
# These register functions and arguments; there is no formula in them, though formulas call them.
MACHINERY = {RULES / name for name in ("table.py", "counterparts.py", "special/rows.py")}
SECONDS = 20  # of processor time for one test of a mutant; beyond it, it hangs
BUDGET = 60  # for all that go by the names, and again for those of the family
COLLECTED = ("tests/rules", "tests/test_higher_orders.py")
CALLS = 8  # samples of a row in all tests; the others are in the first four kinds only
OTHERS = 60  # tests beside those of the table
# Of `tests/rules/test_rules.py`, by cost.
KINDS = (
    "test_partials_are_those_of_an_independent_implementation",
    "test_elementwise_derivatives",
    "test_derivatives",
    "test_cotangents_one_at_a_time",
    "test_derivatives_do_not_depend_on_layout",
    "test_elementwise_derivatives_do_not_depend_on_layout",
    "test_jacobians",
    "test_elementwise_jacobians",
    "test_blocks_differentiate_again",
)
COMMUTE = set(
    "add multiply maximum minimum mulz logical_and logical_or isin hypot logaddexp "
    "min max result_type broadcast_shapes".split()
)
UNSEEN = {"strict", "copy"}  # keywords that change no value
SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


# ---- mutants of an expression


def kept(chosen, dropped):
    """One of two operands; the other is still named, so that closures keep their variables."""
    return ast.IfExp(ast.Constant(True), chosen, dropped)


def changes(node):
    """Yield (what, new node) for each mutant of one expression."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign dropped", node.operand
    if isinstance(node, ast.BinOp):
        a, op, b = node.left, node.op, node.right
        if type(op) in SWAPPED:
            yield "operator exchanged", ast.BinOp(a, SWAPPED[type(op)](), b)
            yield "right operand dropped", kept(a, b)
        if isinstance(op, (ast.Add, ast.Mult, ast.MatMult)):
            yield "left operand dropped", kept(b, a)
        if isinstance(op, (ast.Sub, ast.Div, ast.MatMult, ast.Pow)):
            yield "operands exchanged", ast.BinOp(b, op, a)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        x = node.value
        new = not x if type(x) is bool else x + 1 if type(x) is int else 1.25 * x or 1.0
        yield "constant changed", ast.Constant(new)
    if isinstance(node, ast.Call) and len(node.args) > 1:
        a, b, *rest = node.args
        name = ast.unparse(node.func).split(".")[-1]
        plain = not any(isinstance(x, ast.Starred) for x in (a, b))
        if plain and name not in COMMUTE and ast.dump(a) != ast.dump(b):
            yield "arguments exchanged", ast.Call(node.func, [b, a, *rest], node.keywords)


def results(tree):
    """The expressions that lambdas are and functions return, whose sign is flipped."""
    for node in ast.walk(tree):
        value = node.body if isinstance(node, ast.Lambda) else getattr(node, "value", None)
        listed = isinstance(value, ast.BinOp) and isinstance(value.left, (ast.List, ast.Tuple))
        number = isinstance(value, (ast.BinOp, ast.Call, ast.Name, ast.IfExp)) and not listed
        if isinstance(value, ast.Call) and ast.unparse(value.func) in ("np.zeros", "bool"):
            continue
        if isinstance(node, (ast.Return, ast.Lambda)) and number:
            yield value


SKIPPED = (ast.Raise, ast.Assert, ast.JoinedStr, ast.arguments, ast.Import, ast.ImportFrom)


def sites(tree):
    """Yield the expressions inside of functions, and these; but no errors, no defaults."""
    waiting = [(tree, ())]
    while waiting:
        node, functions = waiting.pop()
        if isinstance(node, ast.expr) and functions:
            yield node, functions
        for name, child in ast.iter_fields(node):
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, ast.keyword) and one.arg in UNSEEN:
                    continue
                if isinstance(one, ast.AST) and not isinstance(one, SKIPPED):
                    body = name == "body" and isinstance(node, (ast.FunctionDef, ast.Lambda))
                    waiting.append((one, (*functions, node) if body else functions))


def key_of(function):
    """Return the first line and the name that the code of a function has."""
    lines = [function.lineno, *[x.lineno for x in getattr(function, "decorator_list", ())]]
    return min(lines), getattr(function, "name", "<lambda>")


class Source:
    """A file, its code objects, and the mutants of its formulas as (expression, what)."""

    def __init__(self, path, formulas):
        self.path = path
        self.tree = ast.parse(path.read_text())
        self.codes = code_objects(self.compiled())
        reached = {(code.co_firstlineno, code.co_name) for code in formulas}
        flipped = set(results(self.tree))
        self.mutants = []
        for node, functions in sites(self.tree):
            if reached.isdisjoint(map(key_of, functions)):
                continue
            whats = [what for what, _ in changes(node)]
            whats += ["result negated"] * (node in flipped)
            self.mutants += [(node, what) for what in whats]
        self.mutants.sort(key=lambda pair: (pair[0].lineno, pair[0].col_offset, pair[1]))

    def compiled(self):
        return compile(self.tree, str(self.path), "exec", dont_inherit=True)

    def mutated(self, old, what):
        """Return the change in words, and old and new code of what it changes, or None."""
        if what == "result negated":
            new = ast.UnaryOp(ast.USub(), old)
        else:
            new = dict(changes(old))[what]
        words = f"{what}: {ast.unparse(old)}"
        if what == "constant changed":
            words += f" -> {ast.unparse(new)}"
        ast.fix_missing_locations(ast.copy_location(new, old))
        put(self.tree, old, new)
        codes = code_objects(self.compiled())
        put(self.tree, new, old)
        if len(codes) != len(self.codes):  # two lambdas of a line were one
            return words, None
        return words, [(a, b) for a, b in zip(self.codes, codes, strict=True) if a != b]


def put(tree, old, new):
    """Exchange one node of a tree, in place."""
    for parent in ast.walk(tree):
        for name, child in ast.iter_fields(parent):
            if child is old:
                setattr(parent, name, new)
                return
            if isinstance(child, list):
                for k, one in enumerate(child):
                    if one is old:
                        child[k] = new
                        return


def code_objects(code):
    """Return all inside of one, in order; the module's own is left out."""
    found = []
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found += [const, *code_objects(const)]
    return found


# ---- rows, and the functions that are their formulas


def of_rules(function):
    return Path(function.__code__.co_filename).is_relative_to(RULES)


def functions_in(value):
    """Yield the Python functions and operations that a fact of a row is made of."""
    from fastbp._core.graph import Op

    if isinstance(value, (types.FunctionType, Op)):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from functions_in(one)
    elif isinstance(value, functools.partial):
        yield from functions_in([value.func, *value.args])
    elif hasattr(value, "__wrapped__"):
        yield from functions_in(value.__wrapped__)


def called(function):
    """Yield the functions and operations that a function names."""
    codes = [function.__code__, *code_objects(function.__code__)]
    values = [function.__globals__.get(name) for code in codes for name in code.co_names]
    for module in [x for x in values if isinstance(x, types.ModuleType)]:
        if module.__name__.startswith("fastbp.rules"):
            values += [vars(module).get(name) for code in codes for name in code.co_names]
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):
            values.append(cell.cell_contents)
    for value in values:
        yield from functions_in(value)


def formulas(ops):
    """Return code object -> names of the rows whose derivative it is in."""
    rows = collections.defaultdict(set)
    for name, op in ops.items():
        waiting = list(functions_in([op.partials, op.vjp, op.jvp, op.on_complex, op.squared]))
        seen = set()
        while waiting:
            one = waiting.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if not isinstance(one, types.FunctionType):  # an operation in a formula
                if one.partials is not None and one.info.get("domain") is None:
                    waiting += functions_in(one.partials)
                continue
            if not of_rules(one):
                continue
            for code in [one.__code__, *code_objects(one.__code__)]:
                rows[code.co_filename, code].add(name)
            waiting += called(one)
            waiting += functions_in(getattr(one, "__wrapped__", None))
    return rows


def implementers():
    """Return code object -> names of public functions that call it."""
    from fastbp.rules import table

    found = collections.defaultdict(set)
    for name, function in table.FUNCTIONS.items():
        waiting, seen = list(functions_in(function)), set()
        while waiting:
            one = waiting.pop()
            if id(one) in seen or not isinstance(one, types.FunctionType) or not of_rules(one):
                continue
            seen.add(id(one))
            for code in [one.__code__, *code_objects(one.__code__)]:
                found[code.co_filename, code].add(name)
            waiting += called(one)
            waiting += functions_in(getattr(one, "__wrapped__", None))
    return found


def live_functions():
    found = collections.defaultdict(list)
    gc.unfreeze()  # tests/conftest.py froze what there was, which is not among the objects then
    for one in gc.get_objects():
        if isinstance(one, types.FunctionType) and of_rules(one):
            found[one.__code__.co_filename, one.__code__].append(one)
    return found


def install(pairs, live):
    """Give live functions the new code; say whether there was one."""
    changed = False
    for old, new in pairs:
        for function in live.get((old.co_filename, old), ()):
            function.__code__ = new
            changed = True
    return changed


def trace_again(rows):
    """Elementwise rows are traced when they are made: make them again, in place."""
    from fastbp._core.graph import Op

    for op in [op for row in rows for op in (row, row.on_complex)]:
        if isinstance(op, Op) and op.partials is not None:
            facts = {
                name: getattr(op, name)
                for name in "nin partials kernel opaque dominant selects signed_partials "
                "coefficients squared pattern blocks title".split()
            }
            op.__init__(op.name, op.forward, complex=op.on_complex, **facts, **op.info)


# ---- which tests are a row's


class Tests:
    """All collected tests, by the rows whose names they go by."""

    def __init__(self, items):
        self.by_call = collections.defaultdict(dict)  # sample -> kind of test -> items
        self.of_sample = collections.defaultdict(list)  # the same in other files
        self.of_row = collections.defaultdict(list)  # a parameter is the row's name
        self.by_word = collections.defaultdict(list)
        self.by_folder = collections.defaultdict(list)  # of fastbp/rules
        words = {}
        for item in items:
            function = item.originalname or item.name
            callspec = getattr(item, "callspec", None)
            if callspec is not None:
                name = callspec.id.removesuffix("-float32").removesuffix("-float64")
                name = name.removeprefix("float32-").removeprefix("float64-")
                if item.path.name == "test_rules.py":
                    self.by_call[name].setdefault(function, []).append(item)
                    continue
                if re.fullmatch(r"[\w.]+-\d+", name):  # a sample: compiled, mapped, complex
                    self.of_sample[name].append(item)
                for value in callspec.params.values():
                    if isinstance(value, str):
                        self.of_row[value].append(item)
            folder = item.path.parent
            folder = folder.relative_to(TESTS) if folder.is_relative_to(TESTS) else Path()
            self.by_folder[str(folder)].append(item)
            if item.function not in words:
                words[item.function] = set(re.findall(r"\w+", inspect.getsource(item.function)))
            said = set(re.findall(r"\w+", item.name))
            for word in words[item.function] | said | set(function.split("_")):
                self.by_word[word].append((word not in said, item))

    def of_family(self, path, functions, chosen):
        """Return further tests: of functions that call the code, and of its file's folder."""
        seen = {item.nodeid for item in chosen}
        items = [
            item
            for kind in KINDS[:4]
            for sample, kinds in self.by_call.items()
            if sample.rpartition("-")[0] in functions
            for item in kinds.get(kind, ())
        ]
        items += self.by_folder[str(path.parent.relative_to(RULES))]
        return [item for item in dict.fromkeys(items) if item.nodeid not in seen]

    def of(self, names, calls):
        """Return the tests of rows, without repetition, cheap ones first."""
        words = [x for name in sorted(names) for x in (name.split(".")[-1], name.strip("_"))]
        words = list(dict.fromkeys(words))
        few = len(names) < CALLS  # then all samples of their own, before others that record them
        own = [x for x in self.by_call if few and x.rpartition("-")[0].split(".")[-1] in words]
        first = max(CALLS, len(own))
        samples = own + [name for name in sorted(names) if name in self.by_call]
        samples += [id for name in sorted(names) for id in calls.get(name, ())]
        samples = list(dict.fromkeys(samples))
        chosen = [
            item
            for some, kinds in ((samples[:first], KINDS), (samples[first:], KINDS[:4]))
            for kind in kinds
            for sample in some
            for item in self.by_call[sample].get(kind, ())
        ]
        chosen += [item for word in words for item in self.of_row.get(word, ())]
        chosen += [item for sample in samples for item in self.of_sample.get(sample, ())]
        for word in words[:12]:
            others = sorted(self.by_word.get(word, ()), key=lambda pair: pair[0])
            chosen += [item for _, item in others[:OTHERS]]
        return list({item.nodeid: item for item in chosen}.values())


def calls_of_rows(session):
    """Return name of a row -> ids of the samples that record it; made in a fork."""
    from tests.rules import test_rules

    found = collections.defaultdict(list)
    for parameters in test_rules.CALLS:
        call = parameters.values[0]
        try:
            reached = test_rules.operations_in(call)
        except Exception:  # as a test it would fail, too
            continue
        size = sum(x.size for x in call.arrays)
        for name in reached:
            found[name].append((size, parameters.id))
    import numpy as np

    from tests.harness import ELEMENTWISE, Call, operands_of

    for name, op in ELEMENTWISE.items():
        xs = operands_of(op, ((3,),) * op.nin, np.random.default_rng(0))
        for one in test_rules.operations_in(Call(op, xs, {})):
            found[one].append((0, name))
    return {name: [id for _, id in sorted(pairs)] for name, pairs in found.items()}


# ---- forks


def in_fork(work):
    """Start a fork; return what reads its result, or None if it died."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with contextlib.suppress(BaseException):
            result = work()
            with os.fdopen(write, "wb") as pipe:
                pickle.dump(result, pipe)
        os._exit(0)
    os.close(write)
    return pid, os.fdopen(read, "rb")


def result_of(started):
    pid, pipe = started
    with pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else None


def first_failure(items):
    """Run tests until one fails; return its id and error, or None."""
    from _pytest.runner import runtestprotocol
    from _pytest.warnings import catch_warnings_for_item

    start = time.process_time()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # of one that hangs in C, too
    for k, item in enumerate(items):
        if time.process_time() - start > BUDGET:
            return None, k
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        of_item = {"config": item.config, "ihook": item.ihook, "when": "runtest", "item": item}
        with catch_warnings_for_item(**of_item):  # what its marks ignore
            reports = runtestprotocol(item, log=False, nextitem=None)
        for report in reports:
            if report.failed:
                text = str(report.longrepr).strip().splitlines()
                return item.nodeid, next((x for x in reversed(text) if x.startswith("E ")), "")
    return None, len(items)


class Plugin:
    def __init__(self, options):
        self.options = options
        self.status = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        self.status = run(session, self.options)
        return True


def drawn(sources, options):
    """Yield sites, from each file in turn, in random order."""
    random_ = random.Random(options.seed)
    decks = []
    for source in sources:
        deck = list(source.mutants)
        random_.shuffle(deck)
        decks.append((source, deck))
    while decks:
        decks = [(source, deck) for source, deck in decks if deck]
        for source, deck in decks:
            yield source, deck.pop()


def survivors(log):
    """Return place and words of the mutants that survived in the output of an earlier run."""
    return set(re.findall(r"^survived +(\S+  .*)  \[", log, re.MULTILINE))


def run(session, options):
    from fastbp.rules import table

    table.load_all()
    ops = {
        name: op
        for name, op in table.OPS.items()
        if op.info.get("home", "").startswith("fastbp.rules")
    }
    rows, callers, live = formulas(ops), implementers(), live_functions()
    calls = result_of(in_fork(lambda: calls_of_rows(session)))
    tests = Tests(session.items)
    files = collections.defaultdict(set)  # path -> lines, or none for all
    for name in options.files:
        path, _, line = name.partition(":")
        files[Path(path).resolve()] |= {int(line)} if line else set()
    paths = sorted({Path(name) for name, _ in rows} - MACHINERY)
    codes = collections.defaultdict(list)
    for name, code in rows:
        codes[Path(name)].append(code)
    sources = [Source(path, codes[path]) for path in paths if not files or path in files]
    for source in sources:
        if lines := files.get(source.path):
            source.mutants = [pair for pair in source.mutants if pair[0].lineno in lines]

    wanted = None if options.again is None else survivors(options.again.read_text())
    chosen = []
    for source, (node, what) in drawn(sources, options):
        words, pairs = source.mutated(node, what)
        names = set()
        for old, _ in pairs or ():
            names |= rows.get((str(source.path), old), set())
        if pairs is not None and not names:
            continue  # no formula
        where = f"{source.path.relative_to(ROOT)}:{node.lineno}"
        if wanted is not None and f"{where}  {words}" not in wanted:
            continue
        chosen.append((where, words, pairs, names, source.path))
        if len(chosen) == options.sample:
            break
    print(f"\n{len(chosen)} mutants of {len(sources)} files", flush=True)

    def mutant(pairs, names, path):
        try:
            if not install(pairs, live):
                return "not viable", "no function has this code"
            trace_again([ops[name] for name in sorted(names)])
        except ValueError as error:
            return "not viable", str(error)
        except Exception as error:
            return "killed", f"on import: {error!r}"
        items = tests.of(names, calls)
        failed, note = first_failure(items)
        if not failed:
            functions = set().union(*[callers.get((str(path), old), ()) for old, _ in pairs])
            others = tests.of_family(path, functions, items)
            failed, more = first_failure(others)
            note = more if failed else note + more
        return ("killed", f"{failed} {note}") if failed else ("survived", f"{note} tests")

    gc.collect()
    gc.freeze()  # what is not touched stays shared
    verdicts = []
    running = collections.deque()

    def finish():
        k, started = running.popleft()
        where, words, _, names, _ = chosen[k]
        verdict, note = result_of(started) or ("killed", "by time, or a crash")
        verdicts.append((verdict, k, note))
        if verdict != "killed" or options.verbose:
            rows_ = ", ".join(sorted(names)[:4])
            print(f"{verdict:10}  {where}  {words}  [{rows_}]  {note}", flush=True)
        if len(verdicts) % 20 == 0:
            so_far = collections.Counter(verdict for verdict, _, _ in verdicts)
            print(f"... {len(verdicts)} of {len(chosen)}: {dict(so_far)}", flush=True)

    for k, (_, _, pairs, names, path) in enumerate(chosen):
        if not pairs:
            verdicts.append(("not viable", k, "the same code"))
            continue
        if len(running) == options.jobs:
            finish()
        running.append((k, in_fork(functools.partial(mutant, pairs, names, path))))
    while running:
        finish()

    # Tests that fail without any mutant kill none.
    by_id = {item.nodeid: item for item in session.items}
    killers = {note.split(" ")[0].strip() for verdict, _, note in verdicts if verdict == "killed"}
    killers = [item for name, item in by_id.items() if any(name == k for k in killers)]
    failing = []
    for item in killers if options.control else ():
        failed, _ = result_of(in_fork(lambda item=item: first_failure([item]))) or (item.nodeid, "")
        failing += [failed] if failed else []
    if failing:
        print("fail without a mutant:", *failing, sep="\n  ")
    verdicts = [
        ("in doubt" if note.split(" ")[0].strip() in failing else verdict, k, note)
        for verdict, k, note in verdicts
    ]
    count = collections.Counter(verdict for verdict, _, _ in verdicts)
    viable = len(verdicts) - count["not viable"]
    print(
        *[f"{count[verdict]} {verdict}," for verdict in ("killed", "survived", "not viable")],
        *[f"{count['in doubt']} in doubt,"] * bool(failing),
        f"{100 * count['killed'] / max(viable, 1):.1f} % of viable mutants killed",
    )
    return int(bool(failing) or not viable or count["killed"] < 0.95 * viable)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*")
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", type=Path, help="survivors in this output of a run only")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="killed ones, and by what, too")
    parser.add_argument("--no-control", dest="control", action="store_false")
    options = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    plugin = Plugin(options)
    status = pytest.main(
        ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=no", *COLLECTED],
        plugins=[plugin],
    )
    sys.exit(plugin.status or int(status))


if __name__ == "__main__":
    main()
