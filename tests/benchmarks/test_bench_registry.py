"""The table of benchmarks: what a class must state, and that what each states is right."""

from typing import ClassVar

import pytest

from fastbp.benchmarks import registry
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
    assert (at_most(1.5).ratio, at_most(1.5).text) == (1.5, "<= 1.5x")
    assert (faster(10).ratio, faster(10).text) == (0.1, "10x faster")
    assert faster(1).text == "faster"
    assert faster(1, threads="one").applies("one")
    assert not faster(1, threads="one").applies("default")


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
