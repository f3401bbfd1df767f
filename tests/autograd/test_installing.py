"""fastbp in the place of autograd: for a process, and from outside."""

import os
import subprocess
import sys
import textwrap

import pytest

from fastbp.autograd.__main__ import main

PROGRAM = """
import sys
import autograd
import autograd.numpy as np
import autograd.numpy.linalg, autograd.scipy.stats.norm
from autograd import grad
from autograd.extend import primitive, defvjp
from autograd.numpy.numpy_boxes import ArrayBox
import autograd.scipy.special as special
from autograd.misc.optimizers import adam
from autograd import numpy as again

def loss(x):
    assert isinstance(x, ArrayBox)
    return np.sum(np.tanh(x) ** 2)

print(autograd.__name__, again is np, sys.modules["autograd.numpy"] is np, __name__, sys.argv[1:])
print(np.__spec__.name, autograd.scipy.special is special)
print(grad(loss)(np.zeros(2)))
"""
PRINTED = """\
fastbp.autograd True True __main__ ['-v', 'x']
fastbp.autograd.numpy True
[0. 0.]
"""


def python(*args, cwd):
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=dict(os.environ))


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    return path


@pytest.mark.parametrize("how", ["script", "module", "code"])
def test_programs_run_from_outside(program, how):
    named = {"script": [str(program)], "module": ["-m", "program"], "code": ["-c", PROGRAM]}[how]
    result = python("-m", "fastbp.autograd", *named, "-v", "x", cwd=program.parent)
    assert result.stderr == ""
    assert result.stdout == PRINTED


def test_a_script_finds_its_neighbours(program):
    (program.parent / "neighbour.py").write_text("import autograd.numpy as np\nx = np.ones(1)\n")
    other = program.parent / "main.py"
    other.write_text("from neighbour import x\nprint(x)\n")
    result = python("-m", "fastbp.autograd", str(other), cwd="/")
    assert (result.stdout, result.stderr) == ("[1.]\n", "")


def test_errors_of_programs_come_through(program):
    result = python("-m", "fastbp.autograd", "-c", "raise SystemExit(3)", cwd=program.parent)
    assert result.returncode == 3
    result = python("-m", "fastbp.autograd", cwd=program.parent)
    assert result.returncode == 1
    assert "usage: python -m fastbp.autograd" in result.stderr


def test_install_from_inside(program):
    code = "import sys; sys.argv[1:] = ['-v', 'x']; import fastbp.autograd; "
    result = python("-c", f"{code} fastbp.autograd.install(){PROGRAM}", cwd=program.parent)
    assert (result.stdout, result.stderr) == (PRINTED, "")


def test_what_is_not_there_is_no_module(program):
    code = "import autograd.nothing"
    result = python("-m", "fastbp.autograd", "-c", code, cwd=program.parent)
    assert "ModuleNotFoundError: No module named 'autograd.nothing'" in result.stderr


def test_autograd_itself_must_not_be_there_before(program):
    code = """
        import sys, types
        sys.modules["autograd"] = types.ModuleType("autograd")
        import fastbp.autograd
        try:
            fastbp.autograd.install()
        except ImportError as error:
            print(error)
    """
    result = python("-c", textwrap.dedent(code), cwd=program.parent)
    assert "autograd was imported before: call install() first" in result.stdout


def test_installing_twice_and_undoing():
    code = """
        import sys
        from fastbp.autograd import install
        from fastbp.autograd.installing import uninstall
        install()
        import autograd
        install()
        finders = [f for f in sys.meta_path if type(f).__module__ == "fastbp.autograd.installing"]
        uninstall()
        print(len(finders), "autograd" in sys.modules)
        uninstall()
    """
    result = python("-c", textwrap.dedent(code), cwd="/")
    assert (result.stdout, result.stderr) == ("1 False\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_the_command(flag, capsys):
    main([flag])
    assert capsys.readouterr().out.startswith("usage: python -m fastbp.autograd (script.py")


def test_a_script_that_is_not_there():
    with pytest.raises(SystemExit, match=r"there is no file nothing\.py"):
        main(["nothing.py"])
