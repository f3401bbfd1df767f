"""The table of benchmarks: what a class must state, and that what each states is right."""

import subprocess
import sys
from typing import ClassVar

import pytest

from fastbp.benchmarks import registry, runner
from fastbp.benchmarks.checking import flatten
from fastbp.benchmarks.peers import PEERS
from fastbp.benchmarks.registry import Bench, at_most, bench, faster

registry.load()
ALL = list(registry.BENCHMARKS.values())


@pytest.fixture
def table(monkeypatch):
    """Give the test a table of its own."""
    monkeypatch.setattr(registry, "BENCHMARKS", {})
    return registry.BENCHMARKS


def small():
    class SmallOne(Bench):
        """Nothing much."""

        params: ClassVar = {"n": (1, 2), "m": (3,)}
        quick: ClassVar = {"n": (1,)}

        def setup(self, n, m):
            self.inputs = {}

        def run(self):
            return 1.0

        def check(self):
            return 0.0

    return SmallOne


def test_one_class_is_a_benchmark(table):
    cls = bench("matmul")(small())
    assert table == {"small_one": cls}
    assert cls.suite == "matmul"
    assert list(cls.cases()) == [{"n": 1, "m": 3}, {"n": 2, "m": 3}]
    assert list(cls.cases(quick=True)) == [{"n": 1, "m": 3}]


def test_two_of_one_name_are_refused(table):
    bench("matmul")(small())
    with pytest.raises(ValueError, match="'small_one' is defined twice"):
        bench("mlp")(small())


@pytest.mark.parametrize("part", ["setup", "run", "check"])
def test_a_missing_part_is_named(table, part):
    cls = small()
    delattr(cls, part)
    with pytest.raises(ValueError, match=f"does not define {part}"):
        bench("matmul")(cls)


def test_a_docstring_is_asked_for(table):
    cls = small()
    cls.__doc__ = None
    with pytest.raises(ValueError, match="needs a docstring"):
        bench("matmul")(cls)


def test_targets_say_what_they_ask():
    assert (at_most(1.5).ratio, at_most(1.5).text) == (1.5, "cost <= 1.5x")
    assert (faster(10).ratio, faster(10).text) == (0.1, "")
    assert faster(1, threads="one").applies("one")
    assert not faster(1, threads="one").applies("default")


def test_it_is_said_how_long_every_suite_takes():
    assert registry.SECONDS.keys() == {"digits", *registry.SUITES}
    # Nothing that has more cases to time can be said to take no time: a start alone takes a part of
    # a second, and every suite but the first one makes two passes.
    for suite in registry.SUITES:
        cases = runner.cases(registry.select((suite,)), runner.Effort())
        alone, with_peers = registry.SECONDS[suite]
        assert 0.5 * len(cases) <= alone <= with_peers
    assert registry.duration(("digits",)) == "about 1 s"
    assert registry.duration(("sparse", "tensor")).endswith(" minutes")


def test_a_suite_is_found_alone():
    code = "from fastbp.benchmarks import registry as r; r.get('mlp_gradient', 'mlp'); "
    code += "print(*{cls.suite for cls in r.BENCHMARKS.values()})"
    command = [sys.executable, "-P", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["mlp"]


def test_every_suite_has_benchmarks():
    assert {cls.suite for cls in ALL} == set(registry.SUITES)
    assert next(cls.suite for cls in registry.select(("mlp", "matmul"))) == "matmul"


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_statements_are_consistent(cls):
    assert cls.params
    assert cls.quick.keys() <= cls.params.keys()
    assert cls.peers.keys() <= PEERS.keys()
    assert cls.unit in ("s", "bytes")


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.name)
def test_check_passes_and_targets_name_contenders(cls):
    params = next(cls.cases(quick=True))
    case = cls()
    case.setup(**params)
    assert 0 <= case.check() < 1e-9
    assert flatten(case.run())
    contenders = case.against()
    for contender in contenders.values():
        contender()
    assert cls.targets(**params).keys() <= contenders.keys() | cls.peers.keys()
