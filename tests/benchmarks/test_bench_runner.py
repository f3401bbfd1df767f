"""Processes: requests and answers, deaths, peers that are missing or wrong."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from fastbp._core import simd
from fastbp.benchmarks import environment, peers, registry, runner
from fastbp.benchmarks.checking import CheckError
from fastbp.benchmarks.peers import Worker, WorkerError
from fastbp.benchmarks.worker import OURS, Session, serve

QUICK = runner.Effort(
    threads=("one",), quick=True, processes=1, rounds=2, window=0.001, pause=0.0, extra=0.0
)


def converse(*requests):
    answers = io.StringIO()
    serve(Session(OURS), io.StringIO("".join(json.dumps(r) + "\n" for r in requests)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


def test_a_conversation(tmp_path):
    prepare = {
        "command": "prepare", "name": "matmul_vjp", "params": {"n": 4}, "folder": str(tmp_path),
    }  # fmt: skip
    ready, calibrated, taken, unknown = converse(
        prepare,
        {"command": "calibrate", "contender": OURS, "window": 1e-4},
        {"command": "sample", "contender": OURS, "loops": 3},
        {"command": "sample", "contender": "nobody", "loops": 3},
    )
    assert ready["contenders"][0] == OURS
    assert ready["error"] < 1e-12
    assert calibrated["value"] >= 1
    assert taken["value"] > 0
    assert taken["clean"] is None or taken["clean"] > 0
    assert unknown == {"failed": "KeyError: 'nobody'"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inputs.npz", "results.npz"]


def test_a_peer_that_computes_something_else_is_not_timed(tmp_path, monkeypatch):
    cls = registry.get("matmul_gradients")
    Session(OURS).prepare(cls.name, {"n": 16}, str(tmp_path))

    def peer(inputs, n):
        g, a, b = (inputs[name] for name in "gab")
        return lambda: [g @ b, a.T @ g]  # b is not transposed

    monkeypatch.setattr(cls, "peers", {"torch": peer})
    with pytest.raises(CheckError, match="torch's result 0: relative error"):
        Session("torch").prepare(cls.name, {"n": 16}, str(tmp_path))


def test_a_process_answers_and_reports_errors():
    with Worker(OURS, "one") as worker:
        with pytest.raises(WorkerError, match="KeyError: 'no such benchmark'"):
            worker.ask("prepare", name="no such benchmark", params={}, folder=".")
        worker._process.kill()
        with pytest.raises(WorkerError, match="the fastbp process ended with code"):
            worker.ask("sample", contender=OURS, loops=1)


def test_a_process_that_hangs_is_stopped():
    with (
        Worker(OURS, "one", timeout=0.05) as worker,
        pytest.raises(WorkerError, match="ended with code"),
    ):
        worker.ask("prepare", name="mlp_memory", params={"batch": 64, "width": 512}, folder=".")


def test_rows_of_a_quick_run():
    said = []
    result = runner.run([registry.get("matmul_vjp")], QUICK, said.append)
    assert said == ["matmul_vjp (n=4), threads: one", "matmul_vjp (n=64), threads: one"]
    assert not result.failures
    assert [row["against"] for row in result.rows] == 2 * ["two raw dgemm", "NumPy by hand"]
    row = result.rows[0]
    assert 1 <= row["fastbp"]["count"] == row["other"]["count"] <= QUICK.rounds
    assert row["target"] is row["verdict"] is None  # a smoke test judges nothing
    assert result.seconds.keys() == {"matmul"}


def test_a_missing_peer_has_a_row_that_says_so(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    effort = replace(QUICK, peers=("torch",))
    rows = runner.run([registry.get("matmul_gradients")], effort, lambda text: None).rows
    missing = [row for row in rows if row["against"] == "torch"]
    assert len(missing) == 1
    assert missing[0]["note"] == "torch is not installed (pip install torch)"
    assert missing[0]["other"] is missing[0]["times_faster"] is missing[0]["verdict"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the high-water mark cannot be reset")
def test_memory_is_measured_in_processes_of_their_own():
    result = runner.run([registry.get("mlp_memory")], QUICK, lambda text: None)
    assert not result.failures
    assert result.rows[0]["unit"] == "bytes"
    assert 1e6 < result.rows[0]["fastbp"]["median"] < 1e9


def test_threads_are_limited_before_the_child_starts():
    one, default = environment.child_environment("one"), environment.child_environment("default")
    assert one["OPENBLAS_NUM_THREADS"] == one["OMP_NUM_THREADS"] == one["MKL_NUM_THREADS"] == "1"
    assert "intra_op_parallelism_threads=1" in one["XLA_FLAGS"]
    assert default.get("XLA_FLAGS", "") in one["XLA_FLAGS"]
    assert one["JAX_ENABLE_X64"] == default["JAX_ENABLE_X64"] == "1"


def test_a_child_has_the_limit(tmp_path):
    pytest.importorskip("threadpoolctl")
    with Worker(OURS, "one") as worker:
        answer = worker.ask("prepare", name="matmul_vjp", params={"n": 4}, folder=str(tmp_path))
    assert {pool["num_threads"] for pool in answer["pools"]} <= {1}


def test_the_environment_names_what_matters():
    record = environment.record()
    assert record["versions"]["numpy"] == np.__version__
    assert record["cpus"] >= 1
    assert record["simd"] == simd.level()
    assert json.loads(json.dumps(record)) == record


def test_a_peer_that_dies_leaves_the_others(monkeypatch):
    class Dying(Worker):
        """A stand-in for any peer: it is prepared as fastbp, and gone when it is sampled."""

        def __init__(self, library, threads):
            super().__init__(OURS, threads)
            self.library = library

        def ask(self, command, **request):
            if self.library == OURS:
                return super().ask(command, **request)
            if command == "prepare":
                return {"contenders": [self.library], "version": "0", "pools": None, "error": 0.0}
            if command == "sample":
                self._process.kill()
            return super().ask(command, **{**request, "contender": OURS})

    monkeypatch.setattr(runner, "Worker", Dying)
    monkeypatch.setattr(runner, "missing", lambda peer: None)
    effort = replace(QUICK, peers=("torch",))
    result = runner.run([registry.get("matmul_gradients")], effort, lambda text: None)
    assert not result.failures
    by_name = {row["against"]: row for row in result.rows}
    assert by_name["NumPy by hand"]["times_faster"]
    assert by_name["torch"]["times_faster"] is None
    assert "torch has no figure" in by_name["torch"]["note"]
