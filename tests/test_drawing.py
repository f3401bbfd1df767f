"""Pictures of records and plans: what is in them, and files of them."""

import shutil
import subprocess

import numpy as np
import pytest

import fastbp as bp
from fastbp import pictures
from fastbp.pictures import Box, Drawing, collapsed

X = np.array([[1.0, 2.0, 3.0], [0.5, 0.25, 4.0]])


def texts(drawing):
    return [" ".join(box.lines) for box in drawing.boxes]


def arrows(drawing):
    """Arrows by texts, as they are in the first lines of boxes."""
    return [
        (drawing.boxes[a].lines[0], drawing.boxes[b].lines[0], *rest)
        for a, b, *rest in drawing.arrows
    ]


def test_a_record():
    x, w = bp.variable(X, name="x"), bp.variable(np.ones((2, 2)))
    y = np.sum(np.tanh(w @ x[:, 1:]) * 2.0)
    drawing = bp.draw(y, inputs=[x, w])
    assert sorted(texts(drawing)[:2]) == ["input 1 float64 (2, 2)", "x float64 (2, 3)"]
    assert texts(drawing)[2:] == [
        "matmul float64 (2, 2)",
        "tanh float64 (2, 2)",
        "multiply float64 (2, 2)",
        "sum float64 ()",
        "result float64 ()",
    ]
    assert ("x", "matmul", "getitem", False) in arrows(drawing)
    assert arrows(drawing)[-1] == ("sum", "result", "", False)
    # All that it depends on, where nothing is named; of two values both are results.
    assert sorted(texts(bp.draw(y))[:2]) == ["input 0 float64 (2, 3)", "input 1 float64 (2, 2)"]
    assert texts(bp.draw({"a": x + 1.0, "b": x.T}))[-2:] == [
        "result float64 (2, 3)",
        "result float64 (3, 2)",
    ]


def test_several_outputs():
    a = bp.variable(np.diag([1.0, 2.0, 3.0]), name="a")
    values, vectors = np.linalg.eigh(a)
    found = arrows(bp.draw([values, vectors], inputs=a))
    assert [(x, y) for x, y, *_ in found] == [
        ("a", "linalg.eigh"),
        ("a", "linalg.eigh"),
        ("linalg.eigh", "result"),
        ("linalg.eigh", "result"),
    ]


def test_a_plan():
    f = bp.compile(bp.grad(lambda p, x: np.sum(np.tanh(x @ p["w"] + p["b"]))))
    with pytest.raises(ValueError, match="draw: there is no plan yet"):
        bp.draw(f)
    f({"w": np.ones((3, 4)), "b": np.zeros(4)}, X)
    drawing = bp.draw(f)
    assert f.to_dot() == str(drawing)
    assert {"x float64 (2, 3)", "p['w'] float64 (3, 4)", "p['b'] float64 (4,)"} <= set(
        texts(drawing)
    )
    assert any(text.startswith("region add tanh tanh_slope") for text in texts(drawing))
    found = arrows(drawing)
    assert ("x", "product (2, 3) @ (3, 4)", "", False) in found
    assert sum(b.startswith("result") for _, b, *_ in found) == 2
    # Nobody reads what nobody wrote: all but inputs and constants have arrows to them.
    reached = {b for _, b, *_ in drawing.arrows}
    for k, box in enumerate(drawing.boxes):
        assert k in reached or box.kind in ("input", "constant")


def test_a_loaded_plan_has_the_same_picture(tmp_path):
    f = bp.compile(lambda x, y: np.sum(np.sin(x) @ y))
    f(X, X.T)
    f.save(tmp_path / "f.plan")
    own, loaded = bp.draw(f), bp.draw(bp.load(tmp_path / "f.plan"))
    assert own.arrows == loaded.arrows
    assert [box.kind for box in own.boxes] == [box.kind for box in loaded.boxes]
    assert texts(loaded)[0] == "argument 0 float64 (2, 3)"


def test_loops_are_frames():
    def total(x):
        return np.sum(bp.scan(lambda h, u: (np.tanh(h + u), h), x, np.ones((50, 3)))[0])

    f = bp.compile(bp.grad(total))
    f(np.ones(3))
    drawing = bp.draw(f)
    frames = [box for box in drawing.boxes if box.inside]
    assert [box.lines for box in frames] == [["loop", "50 times"]] * 2
    (result,) = [k for k, box in enumerate(drawing.boxes) if box.kind == "result"]
    assert any(a in frames[1].inside and b == result for a, b, *_ in drawing.arrows)
    assert str(drawing).count("subgraph cluster") == 2


def test_repeats_among_many_are_shown_once():
    w, h = bp.variable(np.eye(3), name="W"), bp.variable(np.zeros(3), name="h")
    z = h
    for _ in range(100):
        z = np.tanh(w @ z)
    drawing = bp.draw(np.sum(z), inputs=[w, h])
    assert texts(drawing)[2:4] == ["matmul float64 (3,)", "tanh float64 (3,)"]
    (frame,) = [box for box in drawing.boxes if box.inside]
    assert frame.lines == ["100 times"]
    assert frame.inside == [2, 3]
    assert ("tanh", "matmul", "", True) in arrows(drawing)
    assert ("h", "matmul", "", False) in arrows(drawing)
    assert len(drawing.boxes) < 10
    # Few are left as they are.
    assert not any(box.inside for box in bp.draw(w @ (w @ (w @ (w @ h)))).boxes)


def test_runs():
    boxes = [Box([c]) for c in "xababababyccczq"]
    chain = Drawing(boxes, [(k, k + 1, "", False) for k in range(len(boxes) - 1)])
    assert collapsed(chain) is chain
    drawing = collapsed(chain, 5)
    assert texts(drawing) == ["x", "a", "b", "y", "c", "z", "q", "4 times", "3 times"]
    assert [(x, y) for x, y, *_ in arrows(drawing)] == [
        ("x", "a"), ("a", "b"), ("b", "a"), ("b", "y"), ("y", "c"), ("c", "c"), ("c", "z"),
        ("z", "q"),
    ]  # fmt: skip


def test_text_is_quoted():
    text = str(Drawing([Box(['p["a\\"]', "b"])], []))
    assert r'b0 [label="p[\"a\\\"]\nb", shape=box' in text


def test_errors(tmp_path, monkeypatch):
    x = bp.variable(X)
    with pytest.raises(TypeError, match=r"draw: a ndarray was not recorded: give a Variable"):
        bp.draw(X)
    with pytest.raises(TypeError, match="draw: inputs must be Variables, not a ndarray"):
        bp.draw(x + 1.0, inputs=X)
    with pytest.raises(ValueError, match=r"must end in .dot, .gv, .svg, .png or .pdf"):
        bp.draw(x + 1.0, tmp_path / "x.jpg")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "\.\[plot\]"'):
        bp.draw(x + 1.0, tmp_path / "x.png")
    assert bp.draw(x)._repr_svg_() is None


def test_files(tmp_path, monkeypatch):
    x = bp.variable(X, name="x")
    drawing = bp.draw(np.sin(x), tmp_path / "x.dot", inputs=x)
    assert (tmp_path / "x.dot").read_text() == str(drawing)
    if shutil.which("dot") is not None:
        bp.draw(np.sin(x), tmp_path / "x.svg", inputs=x)
        assert "sin" in (tmp_path / "x.svg").read_text()
        assert "svg" in drawing._repr_svg_()
    matplotlib = pytest.importorskip("matplotlib")
    assert matplotlib
    monkeypatch.setattr(pictures.shutil, "which", lambda name: None)
    f = bp.compile(lambda x: bp.scan(lambda h, u: (h + u, h), x, np.ones((5, 3)))[0])
    f(np.ones(3))
    bp.draw(f, tmp_path / "f.png")
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_graphviz_reads_the_text():
    if shutil.which("dot") is None:
        pytest.skip("graphviz is not installed")
    x = bp.variable(X, name='a "b" \\')
    text = str(bp.draw(np.sin(x.T), inputs=x))
    subprocess.run([shutil.which("dot"), "-Tsvg"], input=text.encode(), check=True)
