"""What a report has to say about the machine, and the limits put on threads."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fastbp._core import simd

from . import load

__all__ = ["blas_pools", "child_environment", "pinned_cpu", "record"]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def child_environment(threads: str) -> dict[str, str]:
    """Return the environment of a child process, its threads limited to one or left alone.

    Limits are set before a library is loaded, which every BLAS, OpenMP runtime and XLA obeys.
    """
    env = dict(os.environ)
    # The comparison is in float64 on the CPU for everybody.
    env.update(JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu")
    if threads == "one":
        env.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
        env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} {_XLA_ONE_THREAD}".strip()
    return env


def pinned_cpu(threads: str) -> int | None:
    """Return the CPU that one-thread children are pinned to, where the system can pin."""
    if threads == "one" and hasattr(os, "sched_getaffinity"):
        return max(os.sched_getaffinity(0))
    return None


def blas_pools() -> list[dict[str, Any]] | None:
    """Return version, threads, kernels of each BLAS and OpenMP; None without threadpoolctl."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    keys = ("internal_api", "version", "prefix", "num_threads", "architecture")
    return [{key: pool.get(key) for key in keys} for pool in threadpool_info()]


def record() -> dict[str, Any]:
    """Return versions, BLAS, CPU and commit: what a figure cannot be read without.

    Beside the CPU stands what is used of it: by our kernels, and by NumPy's loops.
    """
    config = np.show_config(mode="dicts")
    build = config["Build Dependencies"]["blas"]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": load.cpus(),
        "simd": simd.level(),
        "numpy_simd": config["SIMD Extensions"].get("found", []),
        "versions": {name: version(name) for name in ("fastbp", "numpy", "scipy")},
        "numpy_blas": f"{build.get('name', '?')} {build.get('version', '?')}",
        "thread_variables": {k: os.environ[k] for k in _THREAD_VARIABLES if k in os.environ},
        "commit": _commit(),
    }


def version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _commit() -> str | None:
    """Return the commit of the source tree; None for an installed copy, wherever it lies."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "src_cy").is_dir():
        return None
    command = ["git", "-C", str(root), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
