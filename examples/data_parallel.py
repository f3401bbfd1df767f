"""
Several processes
=================

Gradients and Jacobians by several processes: data that no memory holds, colors as tasks.

Functions and what fastbp makes of them pickle, so any map will do that runs a function in other
processes: that of Dask (`pip install ".[dask]"`), of joblib, or Python's own in this one.

    python examples/data_parallel.py            Dask if it is there, or joblib, or one process
    python examples/data_parallel.py joblib 4   joblib with 4 processes

Chunks of data are made where they are used; only parameters and gradients travel. Sums are formed
in the order of the chunks, so that all ways give the same bits.
"""

import contextlib
import functools
import importlib.util
import pickle
import sys
import time

import numpy as np

import fastbp as bp
import fastbp.numpy as bnp

FEATURES = 16
TRUTH = np.sin(np.arange(1.0, FEATURES + 1.0))


@contextlib.contextmanager
def mapper(kind, workers=2):
    """Yield a function like `map` whose calls run in processes of one thread each.

    And one that places what many calls get: Dask keeps it in the processes.
    """
    if kind == "dask":
        from distributed import Client, LocalCluster

        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": ":0"}
        with LocalCluster(**local) as cluster, Client(cluster) as client:
            # pure=False: the same task in the next step is another one.
            run = lambda f, *given: client.gather(client.map(f, *given, pure=False))
            yield run, client.scatter
    elif kind == "joblib":
        from joblib import Parallel, delayed, parallel_config

        with parallel_config("loky", inner_max_num_threads=1), Parallel(workers) as parallel:
            yield lambda f, *given: parallel(map(delayed(f), *given)), list
    else:
        yield map, list


def available():
    for kind, module, package in (
        ("dask", "distributed", ".[dask]"),
        ("joblib", "joblib", "joblib"),
    ):
        if importlib.util.find_spec(module):
            return kind
        print(f'{module} is not installed: pip install "{package}"')
    return "one"


# ---- a gradient over chunks of data


def chunk(number, rows):
    """Return the rows of one chunk: read from a file elsewhere, from its number here."""
    rng = np.random.default_rng([7, number])
    x = rng.normal(size=(rows, FEATURES))
    return x, (rng.random(rows) < 1.0 / (1.0 + np.exp(-(x @ TRUTH)))).astype(float)


def loss(params, x, y):
    """Return the negative log-likelihood of logistic regression."""
    z = x @ params["w"] + params["b"]
    return np.sum(np.logaddexp(0.0, z) - y * z)


def added(first, second):
    return bp.tree.map(np.add, first, second)


def over_chunks(value_and_grad, rows, numbers, params):
    """Return the value and the gradient of some chunks, one in memory at a time."""
    return functools.reduce(added, (value_and_grad(params, *chunk(k, rows)) for k in numbers))


def fit(mapped, chunks=16, rows=2000, shards=4, steps=6):
    """Take steps of Adam; the number of shards fixes the order of sums, not that of processes."""
    task = functools.partial(over_chunks, bp.value_and_grad(loss), rows)
    numbers = np.array_split(np.arange(chunks), shards)
    params, opt = {"w": np.zeros(FEATURES), "b": np.zeros(())}, bp.optim.Adam(0.3)
    state = opt.init(params)
    for _ in range(steps):
        parts = list(mapped(task, numbers, [params] * shards))
        value, gradient = functools.reduce(added, parts)
        params, state = opt.update(gradient, state, params)
    sent = sum(len(pickle.dumps((task, one, params))) for one in numbers)
    received = len(pickle.dumps(parts))
    data = chunks * rows * (FEATURES + 1) * 8
    print(f"  a step: {data} bytes of data made, {sent} of tasks sent, {received} received")
    return params, value


# ---- colors of a sparse Jacobian


def residual(u):
    """Return what is missing in Bratu's equation, a Laplacian and an exponential on a square."""
    n = round(u.size**0.5)
    w = np.pad(u.reshape(n, n), 1)
    around = w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2]
    return ((n + 1.0) ** 2 * (around - 4.0 * w[1:-1, 1:-1]) + np.exp(w[1:-1, 1:-1])).reshape(-1)


def by_columns(f, columns, part, x):
    """Return ``f(x)`` as a function of some elements of x."""
    x = bnp.array(x)
    x[columns] = part
    return f(x)


def prepared(f, x, pattern, coloring, colors):
    """Return the Jacobian by the columns of some colors, prepared, with pattern and colors."""
    columns = np.flatnonzero(np.isin(coloring.columns, colors))
    own = np.searchsorted(colors, coloring.columns[columns])
    pattern = pattern[:, columns]
    chosen = bp.sparse.Coloring("column", pattern.shape, own)
    g = functools.partial(by_columns, f, columns)
    return bp.sparse.prepare(g, x[columns], x, pattern=pattern, coloring=chosen), columns


def values(jacobian, x):
    """Return the values of one part's nonzeros: all that has to travel back."""
    part, columns = jacobian
    return part(x[columns], x).data.copy()


def jacobian_by_colors(mapped, placed, f, x, tasks=2):
    """Return a function like `f`: its sparse Jacobian, with the colors divided between tasks."""
    pattern = bp.sparse.sparsity(f, x)
    coloring = bp.sparse.color(pattern)
    groups = np.array_split(np.arange(coloring.num_colors), tasks)
    parts = [prepared(f, x, pattern, coloring, colors) for colors in groups]
    # Where the values of a part belong: the numbers of stored elements, cut like the pattern.
    numbers = pattern.astype(np.int64)
    numbers.data[:] = np.arange(pattern.nnz)
    places = [numbers[:, columns].sorted_indices().data for _, columns in parts]
    there = placed(parts)  # once: at each call go x and what came of it

    def jacobian(x):
        matrix = pattern.astype(float)
        for at, some in zip(places, mapped(values, there, [x] * tasks), strict=True):
            matrix.data[at] = some
        return matrix

    print(f"  {pattern.nnz} nonzeros, {coloring.num_colors} colors in {tasks} tasks")
    return jacobian, pattern, [columns for _, columns in parts]


def main(kind=None, workers=2):
    kind = kind or available()
    u = np.sin(np.arange(900.0))
    print("in this process")
    here, value = fit(map)
    exact = bp.sparse.jacobian(residual)
    print(f"{kind}, {workers} processes")
    with mapper(kind, workers) as (mapped, placed):
        begin = time.perf_counter()
        there, value_there = fit(mapped)
        jacobian, pattern, columns = jacobian_by_colors(mapped, placed, residual, u)
        for x in (u, 0.5 * u):
            assert np.array_equal(jacobian(x).toarray(), exact(x).toarray())
        print(f"  {time.perf_counter() - begin:.2f} s")
    assert value == value_there
    assert all(np.array_equal(here[name], there[name]) for name in here)
    print(f"the same bits; the loss is {value:.6f}")
    return pattern, columns


def draw(pattern, columns, shown=120):
    """Draw a corner of the Jacobian: which task computes which of its columns."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    corner = pattern[:shown, :shown].tocoo()
    for k, some in enumerate(columns):
        own = np.isin(corner.col, some)
        ax.plot(corner.col[own], corner.row[own], ".", markersize=4, label=f"task {k}")
    ax.set(xlim=(-1, shown), ylim=(shown, -1), aspect="equal", title="Jacobian, by tasks")
    ax.legend(loc="upper right")
    return figure


if __name__ == "__main__":
    given = sys.argv[1:]
    path = given.pop() if given and "." in given[-1] else None  # a file for the picture
    found = main(*given[:1], *map(int, given[1:2]))
    if path:
        draw(*found).savefig(path)
