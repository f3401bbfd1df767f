"""setup.py: what it compiles again, what it takes from an earlier build, and what stops it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from Cython.Build.Dependencies import create_dependency_tree

ROOT = Path(__file__).parents[1]
# Stands for the C compiler: writes down what it is asked for, and makes the file.
COMPILER = """\
import sys
arguments = sys.argv[1:]
if "--version" in arguments:
    print("compiler 1.0")
elif "--fail" in arguments:
    sys.exit("no such option: --fail")
else:
    with open("log", "a") as log:
        print(*arguments, file=log)
    with open(arguments[arguments.index("-o") + 1], "w") as file:
        file.write("compiled")
"""
SECOND = """\
from fastbp._core.first cimport f
include 'number.pxi'
cdef extern from "number.h":
    int number
"""

pytestmark = pytest.mark.thread_unsafe(reason="builds in one directory")


@pytest.fixture
def build():
    spec = importlib.util.spec_from_file_location("fastbp_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    """A tree with two small modules, of which one includes a file and imports the other."""
    (tmp_path / "src_cy/numbers").mkdir(parents=True)
    (tmp_path / "fastbp/_core").mkdir(parents=True)
    shutil.copy(ROOT / "setup.py", tmp_path)
    files = {
        "compiler.py": COMPILER,
        "src_cy/first.pyx": "cdef int f() noexcept:\n    return 1\n",
        "src_cy/second.pyx": SECOND,
        "src_cy/numbers/number.pxi": "NUMBER = 1\n",
        "src_cy/numbers/number.h": "static int number = 1;\n",
        "fastbp/__init__.py": "",
        "fastbp/_core/__init__.py": "",
        "fastbp/_core/__init__.pxd": "",
        "fastbp/_core/first.pxd": "cdef int f() noexcept\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def run(project, *arguments, **environment):
    """Build the project; what was compiled, or what was said if that failed."""
    log = project / "log"
    log.unlink(missing_ok=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("FASTBP_")}
    clean |= {"CC": f"{sys.executable} compiler.py", "FASTBP_BUILD_JOBS": "1"}
    result = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace", *arguments],
        cwd=project,
        env=clean | environment,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        return result.stderr
    lines = log.read_text().splitlines() if log.exists() else []
    compiled = [line for line in lines if " -c " in line]
    return {name for name in ("_cyutility", "first", "second") if f"{name}.c" in " ".join(compiled)}


@pytest.mark.skipif(os.name == "nt", reason="MSVC is not found by CC")
def test_what_is_compiled_again(project):
    assert run(project) == {"_cyutility", "first", "second"}
    # A new time of a file, or none of what setuptools left, is no reason.
    shutil.rmtree(next(project.glob("build/lib*")))
    for path in project.glob("*/*.p*"):
        os.utime(path)
    assert run(project) == set()
    (project / "src_cy/numbers/number.pxi").write_text("NUMBER = 2\n")
    assert "no such option" in run(project, CFLAGS="--fail")
    assert run(project) == {"second"}
    with open(project / "fastbp/_core/first.pxd", "a") as file:
        file.write("# read by both\n")
    assert run(project, FASTBP_BUILD_JOBS="2") == {"first", "second"}
    assert run(project, FASTBP_DEBUG="1") == {"_cyutility", "first", "second"}
    assert run(project) == set()
    assert len(list(project.glob("fastbp/_core/first.*so"))) == 1


@pytest.mark.skipif(os.name == "nt", reason="MSVC is not found by CC")
def test_headers_of_an_earlier_time_are_read(project):
    run(project)
    header = project / "src_cy/numbers/number.h"
    header.write_text("static int number = 2;\n")
    os.utime(header, (0, 0))  # as archives and synchronised trees have it
    assert run(project) == {"second"}
    read = [header, *project.glob("build/**/number.h")]  # what is beside the C comes first
    assert {path.read_text() for path in read} == {"static int number = 2;\n"}


@pytest.mark.skipif(os.name == "nt", reason="MSVC is not found by CC")
def test_a_source_that_changes_while_it_is_compiled_is_compiled_again(project):
    write = (
        "    if 'first.c' in str(arguments):\n        open('src_cy/first.pyx', 'a').write('#')\n"
    )
    (project / "compiler.py").write_text(COMPILER + write)
    assert "first" in run(project)
    (project / "compiler.py").write_text(COMPILER)
    assert run(project) == {"first"}


@pytest.mark.skipif(os.name == "nt", reason="MSVC is not found by CC")
def test_without_a_compiler_one_screen_says_what_to_install(project):
    said = run(project, CC="no-such-compiler")
    assert "apt install gcc" in said
    assert "no-such-compiler" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) < 24


def compiler(*command):
    return types.SimpleNamespace(compiler_so=list(command), linker_so=["ld"], macros=[])


def test_another_kind_of_build_shares_nothing(build, monkeypatch, tmp_path):
    (tmp_path / "compiler.py").write_text(COMPILER)
    command = [sys.executable, str(tmp_path / "compiler.py")]
    kinds = [build.kind(compiler(*command)), build.kind(compiler(*command, "-O1"))]
    assert build.kind(compiler(*command)) == kinds[0]
    (tmp_path / "compiler.py").write_text(COMPILER.replace("1.0", "1.1"))
    kinds.append(build.kind(compiler(*command)))
    for owner, name, value in [
        (sys, "version", "3.11.0 (another build)"),
        (sys.modules["numpy"], "__version__", "2.0.0"),
        (importlib.import_module("scipy"), "__version__", "1.13.0"),
        (importlib.import_module("Cython"), "__version__", "3.1.0"),
        (build, "SANITIZE", True),
        (build, "DIRECTIVES", build.DIRECTIVES | {"boundscheck": True}),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            kinds.append(build.kind(compiler(*command)))
    with monkeypatch.context() as patch:
        patch.setenv("CPATH", "/elsewhere")
        kinds.append(build.kind(compiler(*command)))
    # Code for this very processor is never taken from an earlier build.
    kinds += [build.kind(compiler(*command, "-march=native")) for _ in range(2)]
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("path", sorted(ROOT.glob("src_cy/**/*.pyx")), ids=lambda path: path.name)
def test_all_that_cython_reads_is_in_the_digest(build, monkeypatch, path):
    monkeypatch.chdir(ROOT)
    source = path.relative_to(ROOT)
    tree = create_dependency_tree()
    named = tree.cimports_externs_incdirs(str(source))[1]
    externs = [folder / name for folder in build.folders() for name in named]
    read = {Path(os.path.relpath(name)) for name in tree.all_dependencies(str(source))}
    ours = {p for p in [*read, *externs] if p.parts[0] in ("src_cy", "fastbp") and p.exists()}
    assert ours <= set(build.all_read_by([source]))


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs cc")
@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("src_cy/**/*.c"))
)
def test_all_that_the_compiler_reads_is_in_the_digest(build, monkeypatch, name):
    monkeypatch.chdir(ROOT)
    command = ["cc", "-MM", *(f"-I{folder}" for folder in build.folders()), name]
    rule = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    read = {Path(word) for word in rule.split() if word.startswith("src_cy/")}
    assert len(read) > 1
    assert read <= set(build.all_read_by([Path(name)]))


@pytest.mark.parametrize("compiler", ["cc", "clang"])
@pytest.mark.parametrize(
    "name",
    [
        *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("src_cy/**/*.c")),
        "src_cy/base/simd_level.h",
        "src_cy/products/contract_kernels.h",
        "src_cy/products/scale_columns.h",
        "src_cy/products/tiny_gemm.h",
    ],
)
def test_sources_are_c11(build, monkeypatch, compiler, name):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    monkeypatch.chdir(ROOT)
    strict = ["-std=c11", "-pedantic-errors", "-Wall", "-Wvla", "-Werror", "-Wno-unused-function"]
    folders = [f"-I{folder}" for folder in build.folders()]
    subprocess.run([compiler, *strict, "-fsyntax-only", *folders, "-x", "c", name], check=True)


@pytest.mark.parametrize(
    ("memory", "wanted", "jobs"),
    [(None, None, 8), (2**40, None, 8), (2**30, None, 2), (2**28, None, 1), (2**28, "3", 3)],
)
def test_as_many_jobs_as_cores_and_memory_allow(build, monkeypatch, memory, wanted, jobs):
    monkeypatch.setattr(build, "available_memory", lambda: memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("FASTBP_BUILD_JOBS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("FASTBP_BUILD_JOBS", wanted)
    assert build.default_jobs() == jobs


@pytest.mark.parametrize("wanted", ["0", "-1", "all", ""])
def test_a_number_of_jobs_that_is_none_is_refused(build, monkeypatch, wanted):
    monkeypatch.setenv("FASTBP_BUILD_JOBS", wanted)
    with pytest.raises(build.PlatformError, match="FASTBP_BUILD_JOBS"):
        build.default_jobs()
