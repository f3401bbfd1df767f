"""Build logic: the compiled core and nothing else. Metadata and tool settings are in
pyproject.toml.

Each extension is compiled once for the same sources, Python, compiler and flags, whoever asks:
`build/core/` keeps what was compiled under a digest of all that went into it.

Environment variables
---------------------
FASTBP_BUILD_JOBS=N  compile at most N files at a time (else: one a core, as far as memory goes)
FASTBP_DEBUG=1       compile with bounds, None and overflow checks (slow; for the test suite)
FASTBP_SANITIZE=1    compile with AddressSanitizer and UBSan (run with libasan preloaded)
FASTBP_ANNOTATE=1    write src_cy/*.html: how much Python is left in every line
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError, PlatformError

SOURCES = Path("src_cy")
INTERFACES = Path("fastbp/_core")
COMPILED = Path("build/core")
# C files compiled into an extension beside its .pyx.
C_SOURCES = {
    "elementwise": ["threads.c"],
    "loops": ["kernels.c"],
    "recurrent": ["recurrent_kernels.c"],
}
# What Cython writes for typed memoryviews, once instead of in each module that has some.
SHARED = "fastbp._core._cyutility"
SHARED_SOURCE = SOURCES / "_cyutility.c"
# Of each module, for different Pythons, flags, and states of the sources.
KINDS_KEPT = 8

DEBUG = os.environ.get("FASTBP_DEBUG") == "1"
SANITIZE = os.environ.get("FASTBP_SANITIZE") == "1"
ANNOTATE = os.environ.get("FASTBP_ANNOTATE") == "1"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "overflowcheck": DEBUG,
    "cdivision": not DEBUG,
    "auto_pickle": False,
    "embedsignature": True,
    "embedsignature.format": "python",
}
MACROS = [
    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
    ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
]
# The largest file takes 0.3 GB in gcc; pip and this process take as much again.
BYTES_PER_JOB = 400 * 2**20

READ_BY_COMPILERS = [
    "ARCHFLAGS", "CL", "COMPILER_PATH", "CPATH", "C_INCLUDE_PATH", "GCC_EXEC_PREFIX", "INCLUDE",
    "LIB", "LIBRARY_PATH", "LINK", "MACOSX_DEPLOYMENT_TARGET", "SDKROOT", "_CL_", "_LINK_",
]  # fmt: skip

NO_COMPILER = """\
fastbp is compiled when it is installed, but a C file that includes Python.h does not compile:
    {error}
Install a C compiler and Python's headers:
    Debian, Ubuntu   apt install gcc libc6-dev python3-dev
    Fedora, RHEL     dnf install gcc python3-devel
    Alpine           apk add gcc musl-dev python3-dev
    conda            conda install c-compiler
    macOS            xcode-select --install
    Windows          "Build Tools for Visual Studio" with "Desktop development with C++"
A compiler under another name is found by CC, as in CC=clang pip install ."""


def compile_args():
    if os.name == "nt":
        return ["/O2"], []
    # Nothing here reads errno; without it the square root does not vectorise.
    args = ["-O1", "-g"] if SANITIZE else ["-O3"]
    # Python's own -g costs a quarter of the time and makes the wheel five times as large.
    if not (DEBUG or SANITIZE or "-g" in os.environ.get("CFLAGS", "")):
        args += ["-g0"]
    args += ["-fno-math-errno", "-pthread"]
    link = ["-pthread"]
    if SANITIZE:
        args += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        link += ["-fsanitize=address,undefined"]
    return args, link


def extensions():
    args, link = compile_args()
    sources = {pyx.stem: [pyx] for pyx in sorted(SOURCES.glob("*.pyx"))}
    for stem, names in C_SOURCES.items():
        sources[stem] += [SOURCES / name for name in names]
    modules = {f"fastbp._core.{stem}": paths for stem, paths in sources.items()}
    for name, paths in (modules | {SHARED: [SHARED_SOURCE]}).items():
        yield Extension(
            name,
            [str(path) for path in paths],
            include_dirs=[str(SOURCES)],
            define_macros=MACROS,
            extra_compile_args=args,
            extra_link_args=link,
        )


def write_blas_int():
    """Generate the include file that defines `blas_int` for the SciPy we build against.

    SciPy exports the type since 1.18 (it may be 64 bits wide); before that it is always C int.
    """
    import scipy

    declarations = Path(scipy.__file__).parent / "linalg" / "cython_blas.pxd"
    if "blas_int" in declarations.read_text():
        text = "from scipy.linalg.cython_blas cimport blas_int\n"
    else:
        text = "ctypedef int blas_int\n"
    target = SOURCES / "_blas_int.pxi"
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def available_memory():
    """Bytes that may still be used here, a container's limit included; None if not known."""
    found = []
    for path, pattern in [
        ("/proc/meminfo", r"MemAvailable: +(\d+) kB"),
        ("/sys/fs/cgroup/memory.max", r"(\d+)"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", r"(\d+)"),
    ]:
        try:
            match = re.search(pattern, Path(path).read_text())
        except OSError:
            continue
        if match:
            found.append(int(match[1]) * (1024 if pattern.endswith("kB") else 1))
    return min(found, default=None)


def default_jobs():
    wanted = os.environ.get("FASTBP_BUILD_JOBS")
    if wanted is not None:
        if not re.fullmatch(r"[1-9]\d*", wanted):
            raise PlatformError(f"FASTBP_BUILD_JOBS={wanted!r}: a number of files, 1 or more")
        return int(wanted)
    # Not every system can tell which cores this process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = available_memory()
    if memory is None:
        return cores or 1
    return max(1, min(cores or 1, memory // BYTES_PER_JOB))


def mentioned(text):
    """Files of ours whose names stand in `text`: as cimport, include, or in a comment."""
    for path in [*SOURCES.glob("*.pxi"), *SOURCES.glob("*.h"), *INTERFACES.glob("*.pxd")]:
        name = f"fastbp._core.{path.stem}" if path.suffix == ".pxd" else path.name
        if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text):
            yield path


def all_read_by(paths):
    """Contents of `paths`, their .pxd, and all that these mention: never less than is read."""
    contents = {}
    pending = [*paths, *(INTERFACES / f"{path.stem}.pxd" for path in paths)]
    while pending:
        path = pending.pop()
        if path not in contents and path.exists():
            contents[path] = path.read_bytes()
            pending += mentioned(contents[path].decode())
    return contents


def tools(compiler):
    """What compiles and how, apart from the sources: versions, flags, environment."""
    import Cython
    import numpy
    import scipy
    import setuptools

    # UnixCCompiler has the first two, MSVCCompiler the others (the version is in the path).
    names = ["compiler_so", "linker_so", "cc", "linker", "compile_options", "ldflags_shared"]
    commands = [getattr(compiler, name, None) for name in names]
    version = None
    if commands[0]:
        run = subprocess.run([*commands[0], "--version"], capture_output=True, text=True)
        version = run.stdout + run.stderr
    flags = [*compile_args(), compiler.macros, DIRECTIVES, MACROS]
    packages = [package.__version__ for package in (Cython, numpy, scipy, setuptools)]
    python = [sys.version, sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_platform()]
    environment = [os.environ.get(name) for name in READ_BY_COMPILERS]
    # Code for this very processor is not kept: the tree may be on another one tomorrow.
    here_only = os.urandom(8) if "native" in repr([commands, flags, environment]) else None
    this_file = Path(__file__).read_bytes()
    return repr([commands, version, flags, packages, python, platform.libc_ver(), environment,
                 here_only, this_file])  # fmt: skip


def digest(ext, tools):
    contents = all_read_by([Path(source) for source in ext.sources])
    parts = [tools, ext.name, sorted((str(path), text) for path, text in contents.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class BuildCore(build_ext):
    """Compile what is not in `build/core` yet, several files at a time."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = default_jobs()
        self.keep_nothing = bool(self.force or ANNOTATE)
        # Times of files say nothing: in an isolated build NumPy's headers are always new.
        self.force = True

    def build_extensions(self):
        import numpy
        from Cython.Build import cythonize

        self.try_compiler()
        write_blas_int()
        found = tools(self.compiler)
        suffix = Path(self.get_ext_filename("core")).name.removeprefix("core")
        self.kept = {}
        for ext in self.extensions:
            ext.include_dirs.append(numpy.get_include())
            stem = ext.name.rpartition(".")[2]
            self.kept[ext.name] = COMPILED / f"{stem}-{digest(ext, found)}{suffix}"
        missing = [
            ext for ext in self.extensions if self.keep_nothing or not self.kept[ext.name].exists()
        ]
        print(
            f"fastbp: {len(missing)} of {len(self.extensions)} modules to compile,"
            f" {self.parallel} at a time",
            flush=True,
        )
        SHARED_SOURCE.unlink(missing_ok=True)
        written = cythonize(
            missing,
            # The project root is not on sys.path in an isolated build: name it, or the .pxd are
            # not found.
            include_path=[".", str(SOURCES)],
            compiler_directives=DIRECTIVES,
            shared_utility_qualified_name=SHARED,
            annotate=ANNOTATE,
            force=True,
            nthreads=self.parallel if self.parallel > 1 else 0,
        )
        for ext in self.extensions:
            if ext not in missing:
                self.copy_kept(ext)
        for ext, in_c in zip(missing, written, strict=True):
            ext.sources = in_c.sources
        # The longest first, or the last one runs alone.
        missing.sort(key=lambda ext: -sum(os.path.getsize(source) for source in ext.sources))
        with ThreadPoolExecutor(self.parallel) as pool:
            futures = [pool.submit(self.build_extension, ext) for ext in missing]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def try_compiler(self):
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "try.c")
            source.write_text("#include <Python.h>\n")
            try:
                self.compiler.compile([str(source)], output_dir=directory)
            except (BaseError, CCompilerError) as error:
                raise PlatformError(NO_COMPILER.format(error=error)) from None

    def copy_kept(self, ext):
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.kept[ext.name], target)
        self.kept[ext.name].touch()  # the oldest ones go

    def build_extension(self, ext):
        super().build_extension(ext)
        kept = self.kept[ext.name]
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, also if two builds run at once or one is stopped.
        partial = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copy(self.get_ext_fullpath(ext.name), partial)
        partial.replace(kept)
        stem = ext.name.rpartition(".")[2]
        others = sorted(COMPILED.glob(f"{stem}-*"), key=lambda path: path.stat().st_mtime)
        for path in others[:-KINDS_KEPT]:
            path.unlink(missing_ok=True)


if (
    __name__ == "__main__"
):  # cythonize starts processes that import this file, where they cannot fork
    setup(ext_modules=list(extensions()), cmdclass={"build_ext": BuildCore})
