"""What editors and type checkers know: the submodules, their names, and what is not there."""

import ast
from pathlib import Path

import numpy as np
import pytest

import fastbp as bp

from . import versions

PACKAGE = Path(bp.__file__).parent

RIGHT = """
import numpy as np
import fastbp as bp
import fastbp.numpy as bnp
import fastbp.scipy.special as bsp

def loss(w: np.ndarray, x: np.ndarray) -> float:
    out = bnp.zeros(3)
    out[0] = bnp.sum(bnp.tanh(x @ w)) + bnp.linalg.norm(w)
    return float(np.sum(bnp.sigmoid(out) + bsp.erf(out)))

value, gradient = bp.value_and_grad(loss)(np.zeros(3), np.ones((2, 3)))
J = bp.sparse.jacobian(lambda x: x[1:] * x[:-1], np.ones(4))
last, hs = bp.scan(lambda h, x: (h + x, h), 0.0, np.zeros(3))
bp.testing.check_grads(np.sin, np.zeros(3))
cells = bp.recurrent.rnn, bp.recurrent.gru, bp.recurrent.lstm
bp.chain.linearize, bp.tensor.matmul_derivative, bp.tree.flatten, bp.unmodified(loss)
kind, error = bp.Variable, bp.errors.NoRuleError
generator = bnp.random.default_rng(0)
"""
WRONG = ["bp.jacobain", "bp.sparse.jacobain", "bnp.tanhh", "bnp.linalg.innv", "bp.numpy.zeross"]
SHOWN = {
    "bp.sparse.jacobian": "def (f: def (*Any, **Any) -> Any",
    "bp.scan": "def (step: def (Any, Any)",
    "bnp.zeros(3)": "numpy.ndarray[tuple[int]",
    "bp.variable(1.0) + 1.0": "Any",
}


def test_a_type_checker_knows_the_names(tmp_path):
    api = pytest.importorskip("mypy.api")
    right = RIGHT.strip().splitlines()
    lines = [*right, *WRONG, *[f"reveal_type({shown})" for shown in SHOWN]]
    file = tmp_path / "snippet.py"
    file.write_text("\n".join(lines))
    options = ["--strict", "--follow-imports=silent", "--no-error-summary"]
    options += ["--cache-dir", str(tmp_path / "cache")]
    report, errors, _ = api.run([*options, str(file)])
    assert not errors
    found = report.splitlines()
    assert len(found) == len(WRONG) + len(SHOWN), report
    for line, wrong in zip(found, WRONG, strict=False):
        assert f'error: Module has no attribute "{wrong.rpartition(".")[2]}"' in line
    for line, text in zip(found[len(WRONG) :], SHOWN.values(), strict=True):
        assert f'Revealed type is "{text}' in line


def names_in(stub):
    body = ast.parse((PACKAGE / stub).read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)} - {"__getattr__"}


def test_the_stubs_have_what_numpy_and_scipy_have_not():
    lacking = set() if versions.has("scipy 1.15") else {"sph_harm_y"}
    assert names_in("scipy/special.pyi") - lacking == set(bp.scipy.special.__all__)
    assert names_in("numpy/__init__.pyi") == {n for n in bp.numpy.__all__ if not hasattr(np, n)}


def test_what_is_imported_for_type_checkers_is_there():
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    (block,) = [n for n in body if isinstance(n, ast.If) and isinstance(n.test, ast.Name)]
    names = [alias.name for node in block.body for alias in node.names]
    assert set(names) == {
        *bp._SUBMODULES,
        "compile",
        "cond",
        "draw",
        "load",
        "scan",
        "vmap",
        "while_loop",
    }
    assert all(hasattr(bp, name) for name in names)
