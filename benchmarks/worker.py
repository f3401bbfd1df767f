"""The child process: prepares one benchmark for one library and takes samples when told to.

The parent writes one JSON request a line to standard input and reads one JSON answer a line.
Whatever the libraries print goes to standard error, so it cannot break the conversation.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import environment, registry, timing
from .checking import CheckError, compare, flatten

__all__ = ["OURS", "main"]

# The contender that is fastbp itself, and the process that also runs the NumPy references.
OURS = "fastbp"
# Seconds of a call after which what the caches hold at its start no longer matters.
LONG = 0.1


class Session:
    """The contenders of the benchmark that was prepared last."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.contenders: dict[str, Callable] = {}
        self.took: dict[str, float] = {}  # seconds of a call, by contender

    def prepare(
        self, name: str, params: dict, folder: str, verify: bool = True, suite: str | None = None
    ) -> dict[str, Any]:
        """Set up; unless told not to, check, and exchange inputs and results through `folder`.

        With `suite`, only its modules are imported: a process for each pass has to start fast.
        """
        cls = registry.get(name, suite)
        self.took = {}
        error = (self._ours if self.library == OURS else self._peer)(
            cls, params, Path(folder), verify
        )
        return {
            "error": error,
            "contenders": list(self.contenders),
            "version": environment.version(self.library),
            "pools": environment.blas_pools(),
        }

    def _ours(
        self, cls: type[registry.Bench], params: dict, folder: Path, verify: bool
    ) -> float | None:
        case = cls()
        case.setup(**params)
        self.contenders = {OURS: case.run, **case.against()}
        if not verify:
            return None
        error = case.check()
        np.savez(folder / "inputs.npz", **case.inputs)
        np.savez(folder / "results.npz", *flatten(case.run()))
        return error

    def _peer(
        self, cls: type[registry.Bench], params: dict, folder: Path, verify: bool
    ) -> float | None:
        with np.load(folder / "inputs.npz") as file:
            inputs = dict(file)
        run = cls.peers[self.library](inputs, **params)
        self.contenders = {self.library: run}
        if not verify:
            return None
        with np.load(folder / "results.npz") as file:
            ours = [file[key] for key in file.files]
        return compare(run(), ours, cls.rtol, f"{self.library}'s result")

    def calibrate(self, contender: str, window: float) -> dict[str, Any]:
        return {"value": timing.calibrate(self.contenders[contender], window)}

    def sample(self, contender: str, loops: int) -> dict[str, Any]:
        call = self.contenders[contender]
        if self.took.get(contender, 0.0) < LONG:
            call()  # brings its data and threads back after another process had the caches
        reading = timing.read(call, loops)
        self.took[contender] = reading.value
        return reading._asdict()

    def warm(self, contender: str) -> dict[str, Any]:
        self.contenders[contender]()
        return {}

    def peak(self, contender: str) -> dict[str, Any]:
        return {"value": timing.peak_memory(self.contenders[contender])}

    def traced(self, contender: str) -> dict[str, Any]:
        return {"value": timing.traced_peak(self.contenders[contender])}


def serve(session: Session, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the parent closes its end."""
    for line in requests:
        request = json.loads(line)
        command = getattr(session, request.pop("command"))
        try:
            answer = command(**request)
        except CheckError as error:
            answer = {"check_failed": str(error)}
        except Exception as error:  # the parent turns it into a line of the report
            answer = {"failed": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(library: str) -> None:
    """Serve the parent, with the real standard output kept for answers alone."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(Session(library), sys.stdin, answers)
