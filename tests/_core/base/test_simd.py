"""One decision for all kernels: the best instruction set that processor and environment allow."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as bp
from fastbp._core import blas, chain_sweep, contract, loops, recurrent, simd

SOURCES = Path(__file__).parents[3] / "src_cy"
EPS = 2.0**-52


def run(code, **environment):
    """Run code in a fresh interpreter with other variables in its environment; None removes one."""
    env = {k: v for k, v in (os.environ | environment).items() if v is not None}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def fused():
    """Say of kernels whether they round a product once with its sum, as all above the baseline do.

    They compute ``(1 + eps)**2 - (1 + 2*eps)``: ``eps**2`` with one rounding, 0 with two.
    """
    x, y = 1 + EPS, -(1 + 2 * EPS)
    matrix = contract.Blocks(np.array([[[y, 0.0, x]]]), np.array([0]), np.array([0, 1]), 1)
    weights = {"W": np.array([[y, y], [x, x]]), "U": np.zeros((1, 2))}
    results = {
        "blas": blas.gemm(np.full((4, 2), [y, x]), np.full((2, 16), [[1.0], [x]])),
        "contract": matrix.gather(np.array([1.0, 0.0, x]), (1,)),
        "recurrent": bp.recurrent.rnn(
            np.zeros((1, 1)), np.array([1.0, x]), activation="identity", **weights
        )[0],
    }
    return {name: bool(np.all(found == EPS**2)) for name, found in results.items()}


def has_exponential():
    """Say whether there is a kernel for exp, as with AVX2 only."""
    return loops.has_loop("exp", np.float64)


def reported():
    """Return what each module with kernels says it uses."""
    found = {}
    for module in (blas, chain_sweep, contract, loops, recurrent):
        found[module.__name__] = before = module._set_level(0)
        module._set_level(before)
    return found


@pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="elsewhere there is only one"
)
@pytest.mark.parametrize("name", simd.LEVELS)
def test_the_environment_limits_every_kernel(name):
    best = run("from fastbp._core import simd; print(simd.level())", FASTBP_SIMD=None)
    level = min(simd.LEVELS.index(name), simd.LEVELS.index(best.stdout.strip()))
    here = Path(__file__)
    found = run(
        f"import sys; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as test\n"
        "print(test.simd.level(), test.reported(), test.fused(), test.has_exponential())",
        FASTBP_SIMD=name,
    )
    expected = (
        simd.LEVELS[level],
        dict.fromkeys(reported(), level),
        dict.fromkeys(fused(), level > 0),
    )
    assert found.stdout.strip() == " ".join(map(str, (*expected, level == 1))), found.stderr


def test_nothing_in_the_environment_is_no_limit():
    code = "from fastbp._core import simd; print(simd.level())"
    assert run(code, FASTBP_SIMD="").stdout == run(code, FASTBP_SIMD=None).stdout != ""


@pytest.mark.parametrize("value", ["AVX2", "sse2"])
def test_an_unknown_value_is_refused(value):
    found = run("import fastbp", FASTBP_SIMD=value)
    assert found.returncode != 0
    last_line = found.stderr.strip().splitlines()[-1]
    assert last_line.startswith("fastbp.errors.SettingError: FASTBP_SIMD")
    for name in (value, *simd.LEVELS):
        assert repr(name) in last_line


@pytest.mark.skipif(not SOURCES.is_dir(), reason="needs the sources")
def test_only_one_module_asks_processor_and_environment():
    question = re.compile(r"FASTBP_SIMD|simd_level\.h|cpu_supports|__cpuid")
    sources = [p for p in SOURCES.rglob("*") if p.suffix in {".pyx", ".pxi", ".h", ".c"}]
    asking = {path.name for path in sources if question.search(path.read_text())}
    assert asking == {"simd.pyx", "simd_level.h"}


@pytest.mark.thread_unsafe(reason="the instruction set belongs to the process")
def test_a_level_beyond_the_limit_is_not_taken():
    before = contract._set_level(len(simd.LEVELS))
    assert contract._set_level(before) == simd.LEVELS.index(simd.level())
