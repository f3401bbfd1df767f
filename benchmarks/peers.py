"""Other libraries: which there are, and the child processes that anything is timed in."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from typing import Any

from . import environment
from .checking import CheckError

__all__ = ["PEERS", "Worker", "WorkerError", "missing"]

# Name of the module, and what to give to pip.
PEERS = {"autograd": "autograd", "torch": "torch", "jax": "jax"}

# -P and the parent's path: the child imports the same fastbp, wherever it is started.
# The CPU is chosen before any library counts the CPUs it may use.
_BOOT = """
import json, os, sys
spec = json.loads(sys.argv[1])
sys.path[:] = spec["path"]
if spec["cpu"] is not None:
    os.sched_setaffinity(0, {spec["cpu"]})
from fastbp.benchmarks.worker import main
main(spec["library"])
"""


class WorkerError(Exception):
    """A child process failed, died, or did not answer in time."""


def missing(peer: str) -> str | None:
    """Return what to say if the library is not installed, else None."""
    if importlib.util.find_spec(peer) is None:
        return f"{peer} is not installed (pip install {PEERS[peer]})"
    return None


class Worker:
    """A fresh process that runs one library under a limit of threads (`worker.main`)."""

    def __init__(self, library: str, threads: str, timeout: float = 300.0) -> None:
        self.library = library
        self.timeout = timeout
        spec = {"path": sys.path, "library": library, "cpu": environment.pinned_cpu(threads)}
        self._stderr = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, json.dumps(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment.child_environment(threads),
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """Send one request and return the answer.

        Raises
        ------
        CheckError
            If the child found a result that is wrong.
        WorkerError
            If the command failed there, or the child died or was stopped after the timeout.
        """
        watchdog = threading.Timer(self.timeout, self._process.kill)
        watchdog.start()
        try:
            self._requests.write(json.dumps({"command": command, **request}) + "\n")
            self._requests.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            raise WorkerError(self._last_words())
        answer = json.loads(line)
        if "check_failed" in answer:
            raise CheckError(answer["check_failed"])
        if "failed" in answer:
            raise WorkerError(answer["failed"])
        return answer

    def close(self) -> None:
        """End the process: it stops when its input closes, and is killed if it does not."""
        try:
            self._requests.close()
            self._process.wait(timeout=10)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._stderr.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().splitlines() if line.strip()]
        last = lines[-1] if lines else "no message"
        return f"the {self.library} process ended with code {code}: {last}"
