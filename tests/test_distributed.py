"""Work in other processes: by Dask on a local cluster, and by joblib."""

import os
import re
import runpy
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "data_parallel.py"

# What dask.distributed sends by name and by value, there and back.
SCRIPT = """
    import numpy as np
    import scipy.sparse as sp
    import fastbp as bp
    from distributed import Client, LocalCluster
    from fastbp._core import threads

    def vector(x):
        return x[1:] * x[:-1] ** 2

    @bp.compile
    @bp.value_and_grad
    def decorated(x):
        return np.sum(np.cosh(x))

    def same(a, b):
        for a, b in zip(bp.tree.flatten(a)[0], bp.tree.flatten(b)[0], strict=True):
            a, b = (x.toarray() if sp.issparse(x) else x for x in (a, b))
            assert np.array_equal(a, b)

    def main():
        x, scale = np.linspace(0.1, 2.0, 7), 3.0
        loss = lambda x: scale * np.sum(np.tanh(x) * x)
        made = [
            decorated,
            bp.value_and_grad(loss),
            bp.jacobian(lambda x: scale * vector(x)),
            bp.hessian(bp.checkpoint(loss)),
            bp.sparse.jacobian(vector),
            bp.sparse.hessian(loss),
            bp.sparse.prepare(vector, x),
            bp.compile(bp.grad(loss)),
            bp.vmap(bp.grad(lambda x: scale * np.sinh(x))),
            bp.elementwise_grad(bp.custom_rule(np.sin, vjp=lambda g, ans, x: scale * g)),
        ]
        local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**local) as cluster, Client(cluster) as client:
            # A core for each process: Dask sets OMP_NUM_THREADS, which fastbp follows.
            assert list(client.run(threads.num_threads).values()) == [1, 1]
            futures = [client.submit(g, x, workers=w, pure=False, allow_other_workers=False)
                       for g in made for w in client.scheduler_info(n_workers=-1)["workers"]]
            for g, found in zip([g for g in made for _ in range(2)], client.gather(futures)):
                same(found, g(x))
            chain, tensor = client.gather([
                client.submit(bp.chain.linearize, vector, x),
                client.submit(bp.tensor.derivative, vector, x),
            ])
            same(chain.product().to_dense(), tensor.to_dense())
            try:
                client.submit(bp.grad(np.sin), x).result()
            except bp.errors.ShapeError as error:
                assert "must return a scalar" in str(error)
            else:
                raise AssertionError("no error came back")
        print("done")

    if __name__ == "__main__":
        main()
"""


def run(*arguments):
    """Run Python on a script: warnings are errors, and it leaves no process behind."""
    child = subprocess.Popen(
        [sys.executable, "-W", "error", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    for _ in range(100):
        left = of_session(child.pid)
        if not left:
            return out
        time.sleep(0.1)
    raise AssertionError(f"left behind: {left}")


def of_session(session):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its = path.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        if int(its) == session and state != "Z":
            found.append(path.with_name("cmdline").read_text().replace("\0", " "))
    return found


def test_dask_sends_what_transforms_return(tmp_path):
    pytest.importorskip("distributed")
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    assert run(path) == "done\n"


def test_the_script_of_the_page(tmp_path):
    pytest.importorskip("distributed")
    page = (ROOT / "docs" / "distributed.md").read_text()
    path = tmp_path / "script.py"
    path.write_text("\n".join(re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)))
    assert run(path) == ""


def test_joblib_gives_the_bits_of_one_process():  # Dask does in test_examples.py
    pytest.importorskip("joblib")
    out = run(EXAMPLE, "joblib", 2)
    assert "joblib, 2 processes" in out
    assert "the same bits" in out


def test_the_example_says_what_to_install(monkeypatch, capsys):
    missing = lambda name: None if name in ("distributed", "joblib") else 1 / 0
    monkeypatch.setattr("importlib.util.find_spec", missing)
    assert runpy.run_path(str(EXAMPLE))["available"]() == "one"
    assert 'distributed is not installed: pip install ".[dask]"' in capsys.readouterr().out


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")
def test_what_is_left_behind_is_seen():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, start_new_session=True)
    assert of_session(child.pid)
    child.communicate(b"\n")
    assert not of_session(child.pid)
