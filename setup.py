"""Build logic: the compiled core and nothing else. Metadata and tool settings are in
pyproject.toml.

Environment variables
---------------------
FASTBP_DEBUG=1     compile with bounds, None and overflow checks (slow; for the test suite)
FASTBP_SANITIZE=1  compile with AddressSanitizer and UBSan (run with libasan preloaded)
"""

import os
from pathlib import Path

import numpy
import scipy
from Cython.Build import cythonize
from setuptools import Extension, setup

SOURCES = Path("src_cy")
# C files compiled into an extension beside its .pyx.
C_SOURCES = {
    "elementwise": ["threads.c"],
    "loops": ["kernels.c"],
    "recurrent": ["recurrent_kernels.c"],
}
C_HEADERS = {
    "blas": ["tiny_gemm.h"],
    "chain_sweep": ["scale_columns.h"],
    "contract": ["contract_kernels.h"],
    "elementwise": ["threads.h"],
    "loops": ["kernels.h", "kernels_level.h", "kernels_body.h"],
    "recurrent": ["recurrent_kernels.h", "recurrent_level.h", "recurrent_types.h"],
    "simd": ["simd_level.h"],
}

DEBUG = os.environ.get("FASTBP_DEBUG") == "1"
SANITIZE = os.environ.get("FASTBP_SANITIZE") == "1"

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


def write_blas_int():
    """Generate the include file that defines `blas_int` for the SciPy we build against.

    SciPy exports the type since 1.18 (it may be 64 bits wide); before that it is always C int.
    """
    declarations = Path(scipy.__file__).parent / "linalg" / "cython_blas.pxd"
    if "blas_int" in declarations.read_text():
        text = "from scipy.linalg.cython_blas cimport blas_int\n"
    else:
        text = "ctypedef int blas_int\n"
    target = SOURCES / "_blas_int.pxi"
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


def compile_args():
    if os.name == "nt":
        return ["/O2"], []
    # Nothing here reads errno; without it the square root does not vectorise.
    args = ["-O1", "-g"] if SANITIZE else ["-O3"]
    args += ["-fno-math-errno", "-pthread"]
    link = ["-pthread"]
    if SANITIZE:
        args += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
        link += ["-fsanitize=address,undefined"]
    return args, link


def extensions():
    args, link = compile_args()
    for pyx in sorted(SOURCES.glob("*.pyx")):
        extra = [str(SOURCES / name) for name in C_SOURCES.get(pyx.stem, [])]
        yield Extension(
            f"fastbp._core.{pyx.stem}",
            [str(pyx), *extra],
            depends=[str(SOURCES / name) for name in C_HEADERS.get(pyx.stem, [])],
            include_dirs=[numpy.get_include(), str(SOURCES)],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
            ],
            extra_compile_args=args,
            extra_link_args=link,
        )


write_blas_int()
setup(
    ext_modules=cythonize(
        list(extensions()),
        # The project root is not on sys.path in an isolated build: name it, or the .pxd are not
        # found.
        include_path=[".", str(SOURCES)],
        compiler_directives=DIRECTIVES,
        annotate=os.environ.get("FASTBP_ANNOTATE") == "1",
    )
)
