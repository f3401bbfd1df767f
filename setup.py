"""Build logic: the compiled core and nothing else. Metadata and tool settings are in
pyproject.toml.

Each extension is compiled once for the same sources, Python, compiler and flags, whoever asks:
`build/core/` keeps what was compiled, and digests of all that went into it.

Environment variables
---------------------
FASTBP_BUILD_JOBS=N  compile at most N files at a time (else: one a core, as far as memory goes)
FASTBP_DEBUG=1       compile with bounds, None and overflow checks (slow; for the test suite)
FASTBP_SANITIZE=1    compile with AddressSanitizer and UBSan (run with libasan preloaded)
FASTBP_REFNANNY=1    compile with Cython's count of references, function by function
FASTBP_ANNOTATE=1    write src_cy/*/*.html: how much Python is left in every line
"""

import contextlib
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
    "loops": ["elementwise/kernels.c"],
    "recurrent": ["recurrent/recurrent_kernels.c"],
    "threads": ["base/thread_pool.c"],
}
# What Cython writes for typed memoryviews, once instead of in each module that has many. The others
# keep their helpers: calls of them through pointers cost a recorded operation 0.4 %.
SHARED = "fastbp._core._cyutility"
SHARING = ["band", "chain", "coloring", "compression", "ordering", "sparsity"]
SHARED_SOURCE = SOURCES / "_cyutility.c"
# For several Pythons, and debugging.
KINDS_KEPT = 4

DEBUG = os.environ.get("FASTBP_DEBUG") == "1"
SANITIZE = os.environ.get("FASTBP_SANITIZE") == "1"
REFNANNY = os.environ.get("FASTBP_REFNANNY") == "1"
ANNOTATE = os.environ.get("FASTBP_ANNOTATE") == "1"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "nonecheck": DEBUG,
    "overflowcheck": DEBUG,
    "cdivision": True,  # 1.0 / 0.0 is a number
    "auto_pickle": False,
    "embedsignature": True,
    "embedsignature.format": "python",
}
MACROS = [
    ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
    ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
    *[("CYTHON_REFNANNY", "1")] * REFNANNY,
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
        # GCC takes table[n - 1] for an address before the table; the first of the two knows better.
        args += ["-fsanitize=address,undefined", "-fno-sanitize=object-size"]
        args += ["-fno-omit-frame-pointer"]
        link += ["-fsanitize=address,undefined"]
    return args, link


def folders():
    """Where sources are, by what they are for; file names are unique among all of them."""
    return [SOURCES, *sorted(path for path in SOURCES.iterdir() if path.is_dir())]


def extensions():
    args, link = compile_args()
    modules = {SHARED: [SHARED_SOURCE]}
    for pyx in sorted(SOURCES.glob("**/*.pyx")):
        extra = [SOURCES / name for name in C_SOURCES.get(pyx.stem, [])]
        modules[f"fastbp._core.{pyx.stem}"] = [pyx, *extra]
    for name, paths in modules.items():
        yield Extension(
            name,
            [str(path) for path in paths],
            include_dirs=[str(folder) for folder in folders()],
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
    target = SOURCES / "products" / "_blas_int.pxi"
    if not target.exists() or target.read_text() != text:
        target.parent.mkdir(exist_ok=True)
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


def all_read_by(paths):
    """Contents of `paths`, their .pxd, and the files of ours that these name: all that is read."""
    contents = {}
    pending = [*paths, *(INTERFACES / f"{path.stem}.pxd" for path in paths)]
    while pending:
        path = pending.pop()
        if path in contents or not path.exists():
            continue
        contents[path] = path.read_bytes()
        named = re.findall(r"fastbp\._core\.(\w+)|(\w+\.(?:pxi|h))\b", contents[path].decode())
        for module, file in named:
            if module:
                pending.append(INTERFACES / f"{module}.pxd")
            else:
                pending.extend(folder / file for folder in folders())
    return contents


def digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def sources_digest(sources):
    contents = all_read_by([Path(source) for source in sources])
    return digest(sorted((path.as_posix(), text) for path, text in contents.items()))


def kind(compiler):
    """Digest of what compiles, and how: tools by version, flags, environment, this file."""
    import Cython
    import numpy
    import scipy
    import setuptools

    # UnixCCompiler has the first two, MSVCCompiler the others (its version is in the path).
    names = ["compiler_so", "linker_so", "cc", "linker", "compile_options", "ldflags_shared"]
    commands = [getattr(compiler, name, None) for name in names]
    version = None
    if commands[0]:
        run = subprocess.run([*commands[0], "--version"], capture_output=True, text=True)
        version = run.stdout + run.stderr
    flags = [commands, compile_args(), compiler.macros, DIRECTIVES, MACROS]
    flags += [os.environ.get(name) for name in READ_BY_COMPILERS]
    if "native" in repr(flags):  # for this very processor: the tree may be on another tomorrow
        flags.append(os.urandom(8))
    packages = [package.__version__ for package in (Cython, numpy, scipy, setuptools)]
    python = [sys.version, sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_platform()]
    this_file = Path(__file__).read_bytes()
    return digest(version, flags, packages, python, platform.libc_ver(), this_file)[:16]


@contextlib.contextmanager
def locked(directory):
    """Let a second build from this tree wait, and then find what the first one compiled."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as file:
        with contextlib.suppress(ImportError, OSError):  # Windows; a file system without locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class BuildCore(build_ext):
    """Compile what `build/core` has not for this kind of build, several files at a time."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = default_jobs()
        self.compile_all = bool(self.force or ANNOTATE)
        # Times of files say nothing: in an isolated build NumPy's headers are always new.
        self.force = True

    def build_extensions(self):
        self.try_compiler()
        write_blas_int()
        home = COMPILED / kind(self.compiler)
        self.stamps = home / "stamps"
        destination = self.build_lib
        self.build_lib, self.build_temp = str(home / "lib"), str(home)
        with locked(COMPILED):
            self.stamps.mkdir(parents=True, exist_ok=True)
            home.touch()  # used now
            self.digests = {ext.name: sources_digest(ext.sources) for ext in self.extensions}
            missing = [ext for ext in self.extensions if self.compile_all or not self.is_kept(ext)]
            print(
                f"fastbp: {len(missing)} of {len(self.extensions)} modules to compile,"
                f" {self.parallel} at a time",
                flush=True,
            )
            self.compile(missing)
            compiled = {ext.name: self.get_ext_fullpath(ext.name) for ext in self.extensions}
            self.build_lib = destination
            for name, path in compiled.items():
                target = Path(self.get_ext_fullpath(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
            forget_oldest()

    def is_kept(self, ext):
        stamp = self.stamps / ext.name
        return (
            stamp.exists()
            and stamp.read_text() == self.digests[ext.name]
            and os.path.exists(self.get_ext_fullpath(ext.name))
        )

    def try_compiler(self):
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "try.c")
            source.write_text("#include <Python.h>\n")
            try:
                self.compiler.compile([str(source)], output_dir=directory)
            except (BaseError, CCompilerError) as error:
                raise PlatformError(NO_COMPILER.format(error=error)) from None

    def compile(self, missing):
        import numpy
        from Cython.Build import cythonize

        for ext in missing:
            (self.stamps / ext.name).unlink(missing_ok=True)
        # Cython copies headers beside the C that it writes, if they are newer than its last copies.
        for copied in Path(self.build_temp, SOURCES).glob("**/*.h"):
            copied.unlink()
        shared = {SHARED, *(f"fastbp._core.{stem}" for stem in SHARING)}
        written = {}
        for names in (shared, {ext.name for ext in missing} - shared):
            group = cythonize(
                [ext for ext in missing if ext.name in names],
                # The project root is not on sys.path in an isolated build: name it, or the .pxd
                # are not found.
                include_path=[".", *(str(folder) for folder in folders())],
                compiler_directives=dict(DIRECTIVES),
                shared_utility_qualified_name=SHARED if names is shared else None,
                annotate=ANNOTATE,
                build_dir=self.build_temp,
                force=True,
                nthreads=self.parallel if self.parallel > 1 else 0,
            )
            written |= {ext.name: ext.sources for ext in group}
        for page in Path(self.build_temp).glob(f"{SOURCES}/**/*.html"):
            shutil.move(page, page.relative_to(self.build_temp))
        self.written_from = {ext.name: ext.sources for ext in missing}
        for ext in missing:
            ext.sources = written[ext.name]
            ext.include_dirs.append(numpy.get_include())
        # The longest first, or the last one runs alone.
        missing.sort(key=lambda ext: -sum(os.path.getsize(source) for source in ext.sources))
        with ThreadPoolExecutor(self.parallel) as pool:
            futures = [pool.submit(self.build_extension, ext) for ext in missing]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def build_extension(self, ext):
        super().build_extension(ext)
        # Unless somebody has written into them meanwhile.
        if sources_digest(self.written_from[ext.name]) == self.digests[ext.name]:
            (self.stamps / ext.name).write_text(self.digests[ext.name])


def forget_oldest():
    homes = [path for path in COMPILED.iterdir() if path.is_dir()]
    homes.sort(key=lambda path: path.stat().st_mtime)
    for path in homes[:-KINDS_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


# cythonize starts processes that import this file, where it cannot fork.
if __name__ == "__main__":
    setup(ext_modules=list(extensions()), cmdclass={"build_ext": BuildCore})
