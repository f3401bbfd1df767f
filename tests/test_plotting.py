"""Pictures of derivatives, colorings, chains, records: what is drawn, where, under which names."""

import sys

import numpy as np
import pytest

import fastbp as bp
from fastbp import plotting
from fastbp.errors import ShapeError

rng = np.random.default_rng(0)
A, B = rng.normal(size=(2, 3)), rng.normal(size=(3, 2))


@pytest.fixture
def plt():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def meshes(ax):
    """Return the cells that are drawn, as {(row, column): value}, of zeros and of the others.

    Rows and columns are where the middles of the cells are.
    """
    found = []
    for mesh in ax.collections:
        corners, values = mesh.get_coordinates(), mesh.get_array()
        middles = (corners[:-1, :-1] + corners[1:, 1:]) / 2
        found.append(
            {
                (float(middles[at][1]), float(middles[at][0])): float(values[at])
                for at in np.ndindex(values.shape)
                if not np.ma.getmaskarray(values)[at]
            }
        )
    return found


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_matrix_of_matrices_has_its_elements_and_zeros_in_place(plt):
    tensor = bp.tensor.matmul_derivative(A, B, wrt=0)
    ax = tensor.plot()
    dense = tensor.to_dense()
    zeros, others = meshes(ax)
    gap = 0.5
    place = {
        (i, j, k, m): (i * (2 + gap) + k, j * (3 + gap) + m)
        for i, j, k, m in np.ndindex(2, 2, 2, 3)
    }
    assert others == {place[at]: dense[at] for at in place if at[0] == at[2]}
    assert set(zeros) == {place[at] for at in place if at[0] != at[2]}
    assert ax.get_title() == r"$\partial C_{ij} / \partial A_{kl}$: 12 of 24 may be nonzero"


def test_ticks_are_at_whole_elements_and_blocks_have_names(plt):
    ax = bp.tensor.matmul_derivative(A, B, wrt=0).plot(names=("Y", "X"))
    assert ax.get_xticks().tolist() == [0, 1, 2, 3.5, 4.5, 5.5]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"] * 2
    assert ax.get_yticks().tolist() == [0, 1, 2.5, 3.5]
    names = [rf"$\partial Y_{{{i}{j}}}/\partial X$" for i in range(2) for j in range(2)]
    assert [text for text in texts(ax) if "partial" in text] == names
    assert texts(ax).count("0") == 12
    assert ax.get_xlabel() == "$l$ of $X$, in each block"


def test_a_jacobian_of_vectors_is_one_matrix(plt):
    x = np.arange(1.0, 8.0)
    ax = bp.tensor.derivative(lambda v: v[1:] * v[:-1], x).plot(names=("y", "x"))
    zeros, others = meshes(ax)
    wanted = {(i, i): x[i + 1] for i in range(6)} | {(i, i + 1): x[i] for i in range(6)}
    assert others == wanted
    assert len(zeros) == 42 - 12
    assert ax.get_xticks().tolist() == list(range(7))
    assert ax.get_title().startswith(r"$\partial y_{i} / \partial x_{j}$")


@pytest.mark.parametrize(
    ("out_shape", "in_shape"),
    [((), ()), ((), (3,)), ((3,), ()), ((2,), (2, 2)), ((2, 2), (3,)), ((2, 2, 2), (2, 3, 2)),
     ((0,), (3,)), ((2, 0), (2, 2)), ((40,), (2, 3)), ((30, 2), (3, 1))],
)  # fmt: skip
def test_every_shape_draws_each_element_once(plt, out_shape, in_shape):
    values = rng.normal(size=out_shape + in_shape)
    values[np.abs(values) < 0.5] = 0.0
    tensor = bp.tensor.from_dense(values, len(out_shape))
    ax = tensor.plot()
    cells = meshes(ax)
    drawn = sorted(value for part in cells for value in part.values())
    np.testing.assert_array_equal(drawn, np.sort(values.ravel()))
    assert sum(map(len, cells)) == values.size
    ax.figure.canvas.draw()


def test_an_explanation_has_a_panel_for_each_link_and_one_for_the_whole(plt):
    found = bp.tensor.explain(lambda a: np.sum(np.tanh(a @ B) ** 2), A)
    axes = found.plot()
    titles = [ax.get_title() for ax in axes]
    assert [title.split(",")[0] for title in titles[:-1]] == ["matmul", "tanh", "square", "sum"]
    chain = [(r"C_{ij}", r"A_{kl}"), (r"D_{ij}", r"C_{kl}"), (r"E_{ij}", r"D_{kl}"),
             ("F", r"E_{ij}"), ("F", r"A_{ij}")]  # fmt: skip
    for title, (result, operand) in zip(titles, chain, strict=True):
        assert rf"\partial {result} / \partial {operand}" in title
    assert titles[-1].startswith("the whole")
    for ax, link in zip(axes, found.links, strict=False):
        assert len(meshes(ax)[1]) == link.tensor.nnz
    assert len(meshes(axes[-1])[1]) == found.pattern.nnz == 6


def test_given_axes_are_used(plt):
    found = bp.tensor.explain(lambda a: np.tanh(a @ B), A)
    axes = plt.subplots(1, 3)[1]
    assert list(found.plot(axes)) == list(axes)
    assert all(ax.collections for ax in axes)
    with pytest.raises(ValueError, match=r"needs 3 axes, .* not 2"):
        found.plot(plt.subplots(1, 2)[1])
    assert found.links[1].plot(axes[0]) is axes[0]
    lone = bp.tensor.explain(lambda a: np.ones(2), A, unconnected="zero").plot()
    assert len(lone) == 1
    assert not meshes(lone[0])[1]


def test_what_is_too_large_is_said(plt, monkeypatch):
    monkeypatch.setattr(plotting, "CELLS", 20)
    with pytest.raises(ShapeError, match=r"DerivativeTensor.plot.*\(2, 2\) x \(2, 3\).* 24 .* 20"):
        bp.tensor.matmul_derivative(A, B, wrt=0).plot()
    axes = bp.tensor.explain(lambda a: np.sum(a @ B), A).plot()
    assert "too large" in texts(axes[0])[0]
    assert axes[1].collections


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    x = bp.variable(A)
    pattern = np.eye(3, dtype=bool)
    chain = bp.chain.JacobianChain([A, B])
    for plot in (
        bp.tensor.matmul_derivative(A, B, wrt=0).plot,
        bp.tensor.explain(lambda a: a @ B, A).plot,
        bp.tensor.explain(lambda a: a @ B, A).links[0].plot,
        lambda: bp.sparse.color(pattern).plot(pattern),
        chain.plot,
        chain.plot_norms,
        bp.draw(np.sin(x)).plot,
    ):
        with pytest.raises(ImportError, match=r'plot.* pip install "\.\[plot\]"'):
            plot()


# ---- colorings -----------------------------------------------------------------------------------


def test_elements_have_the_color_of_their_column(plt):
    pattern = abs(np.subtract.outer(range(6), range(6))) <= 1
    coloring = bp.sparse.color(pattern)
    ax = coloring.plot(pattern)
    matrix, strip = (image.get_array() for image in ax.images)
    assert matrix.shape == (6, 6, 3)
    for i, j in np.ndindex(6, 6):
        same = np.array_equal(matrix[i, j], strip[0, j])
        assert same == pattern[i, j]
    assert len(np.unique(strip[0], axis=0)) == coloring.num_colors == 3
    assert texts(ax) == [str(coloring.columns[j]) for j in np.nonzero(pattern)[1]]
    assert ax.get_title() == "6 x 6, 16 nonzeros: 3 sweeps (column coloring)"


@pytest.mark.parametrize("kind", ["row", "star", "acyclic", "bidirectional"])
def test_every_kind_of_coloring(plt, kind):
    arrow = np.eye(7, dtype=bool)
    arrow[0] = arrow[:, 0] = True
    coloring = bp.sparse.color(arrow, kind)
    ax = coloring.plot(arrow)
    strips = {"row": 1, "star": 1, "acyclic": 1, "bidirectional": 2}[kind]
    assert len(ax.images) == 1 + strips
    numbers = {int(text) for text in texts(ax)}
    assert numbers <= set(range(coloring.num_colors))
    if kind != "acyclic":
        assert len(ax.texts) == arrow.sum()
        assert numbers == set(range(coloring.num_colors))


def test_a_coloring_of_another_pattern(plt):
    with pytest.raises(ShapeError, match=r"Coloring.plot: .*\(3, 3\).*\(2, 2\)"):
        bp.sparse.color(np.eye(3)).plot(np.eye(2))


# ---- chains, records, plans ----------------------------------------------------------------------


def test_factors_are_drawn_to_scale_with_their_zeros(plt):
    chain = bp.chain.JacobianChain([B, bp.chain.Diagonal(np.array([1.0, 2.0])), A])
    ax = chain.plot()
    sizes = [np.abs(np.diff(np.reshape(im.get_extent(), (2, 2)), axis=1)) for im in ax.images]
    assert [(h.item(), w.item()) for w, h in sizes] == [(3, 2), (2, 2), (2, 3)]
    assert ax.images[1].get_array().tolist() == [[True, False], [False, True]]
    assert [text for text in texts(ax) if ":" in text] == [
        "0: dense\n3 x 2", "1: diagonal\n2 x 2", "2: dense\n2 x 3",
    ]  # fmt: skip
    assert texts(ax).count("·") == 2
    assert chain.explain().chosen.brackets in ax.get_title()


def test_of_a_long_chain_the_ends_are_drawn(plt):
    chain = bp.chain.JacobianChain([np.eye(2)] * 1000)
    ax = chain.plot()
    assert len(ax.images) == plotting.SHOWN
    assert "…" in texts(ax)
    assert [t.split(":")[0] for t in texts(ax) if ":" in t] == [*"0123", "996", "997", "998", "999"]


def test_norms_of_a_chain(plt):
    chain = bp.chain.JacobianChain([bp.chain.Identity(4, 0.1)] * 3)
    ax = chain.plot_norms(ord=2)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [-1, -2, -3])
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]


@pytest.mark.parametrize("compiled", [False, True])
def test_records_and_plans(plt, compiled):
    if compiled:
        f = bp.compile(bp.grad(lambda a: np.sum(np.tanh(a @ B) ** 2)))
        f(A)
        drawing = bp.draw(f)
    else:
        x = bp.variable(A, name="x")
        drawing = bp.draw(np.sum(np.tanh(x @ B)), inputs=x)
    ax = drawing.plot()
    boxes = ["\n".join(box.lines) for box in drawing.boxes if not box.inside]
    assert [text for text in texts(ax) if text in boxes] == boxes
    assert len(ax.patches) == len(boxes)
    assert sum(text.arrow_patch is not None for text in ax.texts) == len(drawing.arrows)
    given = plt.subplots()[1]
    assert drawing.plot(given) is given
