"""Pictures of graphs: boxes and arrows as graphviz's text, and drawn by it or by matplotlib."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastbp import plotting

__all__ = ["Box", "Drawing", "collapsed"]

_STYLES = {  # of graphviz: shape, fill
    "input": ("oval", "#dbe9f6"),
    "constant": ("oval", "#eeeeee"),
    "result": ("oval", "#d9f0d3"),
    "region": ("box", "#fff2cc"),
    "product": ("box", "#f8d5c8"),
    "call": ("box", "#f4c7e3"),
    "other": ("box", "#ffffff"),
}
MANY = 40  # boxes: repeats among more are collapsed
LONGEST = 60  # boxes of a repeat


@dataclass
class Box:
    """A box, or a frame around others.

    Attributes
    ----------
    lines : list of str
        The text.
    kind : str
        Which decides the colour.
    inside : list of int
        Boxes that it is a frame around, by their numbers; empty for a plain box.
    """

    lines: list[str]
    kind: str = "other"
    inside: list[int] = field(default_factory=list)


class Drawing:
    """Boxes and arrows; ``str(drawing)`` is graphviz's text.

    Attributes
    ----------
    boxes : list of Box
    arrows : list of tuple
        ``(from, to, label, again)``: numbers of boxes, a text, and whether it leads from one
        repetition to the next.
    """

    def __init__(self, boxes: list[Box], arrows: Iterable[tuple[int, int, str, bool]]) -> None:
        self.boxes, self.arrows = boxes, list(dict.fromkeys(arrows))

    def __str__(self) -> str:
        framed = {k for box in self.boxes for k in box.inside}
        lines = [
            "digraph {",
            '  node [fontname="Helvetica", fontsize=10, style="filled", margin="0.1,0.05"];',
            '  edge [fontname="Helvetica", fontsize=8, arrowsize=0.6];',
        ]
        for k in range(len(self.boxes)):
            if k not in framed:
                lines += self._written(k, "  ")
        for a, b, label, again in self.arrows:
            options = [f'label="{_quoted(label)}"'] if label else []
            options += ["style=dashed", "constraint=false"] if again else []
            shown = f" [{', '.join(options)}]" if options else ""
            lines.append(f"  b{a} -> b{b}{shown};")
        return "\n".join([*lines, "}"]) + "\n"

    def _written(self, k: int, indent: str) -> list[str]:
        box = self.boxes[k]
        text = "\\n".join(map(_quoted, box.lines))
        if box.inside:
            own = [line for j in box.inside for line in self._written(j, indent + "  ")]
            return [f"{indent}subgraph cluster{k} {{", f'{indent}  label="{text}";', *own,
                    f"{indent}}}"]  # fmt: skip
        shape, fill = _STYLES.get(box.kind, _STYLES["other"])
        return [f'{indent}b{k} [label="{text}", shape={shape}, fillcolor="{fill}"];']

    def _repr_svg_(self) -> str | None:
        if shutil.which("dot") is None:
            return None
        return _by_graphviz(str(self), "svg").decode()

    def save(self, path: Any) -> None:
        """Write a picture.

        Parameters
        ----------
        path : str or path
            Its ending says what it is: ``.dot`` or ``.gv`` for the text; ``.svg``, ``.png``,
            ``.pdf`` are drawn by graphviz where its program ``dot`` is installed, else by
            matplotlib.

        Raises
        ------
        ValueError
            For another ending.
        ImportError
            If neither is there.
        """
        ending = os.path.splitext(os.fspath(path))[1].lower()
        if ending in (".dot", ".gv"):
            data = str(self).encode()
        elif ending not in (".svg", ".png", ".pdf"):
            raise ValueError(f"draw: {os.fspath(path)!r} must end in .dot, .gv, .svg, .png or .pdf")
        elif shutil.which("dot") is not None:
            data = _by_graphviz(str(self), ending[1:])
        else:
            self._by_matplotlib(path)
            return
        with open(path, "wb") as file:
            file.write(data)

    def _by_matplotlib(self, path: Any) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError(
                "draw: a picture needs graphviz's program dot, or matplotlib: "
                'pip install ".[plot]" where fastbp is installed from; a path that ends in .dot '
                "takes the text"
            ) from error
        figure = Figure(figsize=self._size())
        FigureCanvasAgg(figure)
        self._draw(figure.add_axes((0.0, 0.0, 1.0, 1.0)))
        figure.savefig(path, dpi=120)

    def plot(self, ax: Any = None) -> Any:
        """Draw boxes and arrows with matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Those of a new figure, in which text and boxes fit, if not given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed (``pip install ".[plot]"``).

        Examples
        --------
        >>> import numpy as np
        >>> import fastbp as bp
        >>> x = bp.variable(np.ones(3), name="x")
        >>> ax = bp.draw(np.sum(np.tanh(x)), inputs=x).plot()
        >>> [text.get_text().splitlines()[0] for text in ax.texts if text.get_text()]
        ['x', 'tanh', 'sum', 'result']
        """
        if ax is None:
            ax = plotting.lone_axes("Drawing.plot", None, self._size())
        self._draw(ax)
        return ax

    def _size(self) -> tuple[float, float]:
        """Return the width and height of a figure, in inches."""
        width, height = self._extent(*self._layout())
        return width + 0.3, height + 0.3

    @staticmethod
    def _extent(places: list[Any], sizes: list[Any]) -> tuple[float, float]:
        both = list(zip(places, sizes, strict=True))
        width = max([x + w / 2 for (x, _), (w, _) in both if w] + [1.0])
        return width, max([y + h / 2 for (_, y), (_, h) in both if h] + [1.0])

    def _draw(self, axes: Any) -> None:
        places, sizes = self._layout()
        width, height = self._extent(places, sizes)
        axes.set_xlim(-0.15, width + 0.15)
        axes.set_ylim(height + 0.15, -0.15)
        axes.axis("off")
        for k, box in enumerate(self.boxes):
            if box.inside:
                _frame(axes, box, [(places[j], sizes[j]) for j in self._plain(k)])
        for a, b, label, again in self.arrows:
            _arrow(axes, places[a], sizes[a], places[b], sizes[b], label, again)
        for box, (x, y), (w, h) in zip(self.boxes, places, sizes, strict=True):
            if box.inside:
                continue
            shape, fill = _STYLES.get(box.kind, _STYLES["other"])
            style = "round,pad=0,rounding_size=" + ("0.15" if shape == "oval" else "0.02")
            axes.annotate(
                "\n".join(box.lines), (x, y), ha="center", va="center", fontsize=8, zorder=4
            )
            from matplotlib.patches import FancyBboxPatch

            axes.add_patch(
                FancyBboxPatch(
                    (x - w / 2, y - h / 2), w, h, boxstyle=style, facecolor=fill,
                    edgecolor="black", linewidth=0.7, zorder=3,
                )
            )  # fmt: skip

    def _plain(self, k: int) -> list[int]:
        """Return the boxes inside of a frame, those of frames in it too."""
        box = self.boxes[k]
        return [j for inner in box.inside for j in self._plain(inner)] if box.inside else [k]

    def _layout(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return where boxes lie, in rows behind what they read, and how large they are."""
        before: list[list[int]] = [[] for _ in self.boxes]
        for a, b, _, again in self.arrows:
            if not again and a != b:
                before[b].append(a)
        frames = {j: k for k, box in enumerate(self.boxes) if box.inside for j in self._plain(k)}
        rows: dict[int, int] = {}
        order = sorted(k for k, box in enumerate(self.boxes) if not box.inside)
        for k in order:
            rows[k] = max([rows.get(a, -1) + 1 for a in before[k]], default=0)
        for k in reversed(order):  # inputs stand above their first reader
            after = [rows[b] for a, b, _, again in self.arrows if a == k and not again]
            if not before[k] and after:
                rows[k] = max(min(after) - 1, 0)
        layers: dict[int, list[int]] = {}
        for k in order:
            layers.setdefault(rows[k], []).append(k)
        sizes = [
            (0.3 + 0.075 * max(map(len, box.lines), default=0), 0.1 + 0.15 * len(box.lines))
            for box in self.boxes
        ]
        places = [(0.0, 0.0)] * len(self.boxes)
        y = 0.0
        for row in sorted(layers):
            near = {
                k: sum(places[a][0] for a in before[k]) / max(len(before[k]), 1)
                for k in layers[row]
            }
            x, height = 0.0, max(sizes[k][1] for k in layers[row])
            for k in sorted(layers[row], key=lambda k: (near[k], frames.get(k, -1), k)):
                x = max(x, near[k] - sizes[k][0] / 2)
                places[k] = x + sizes[k][0] / 2, y + height / 2
                x += sizes[k][0] + 0.25
            y += height + 0.35
        return places, [(0.0, 0.0) if box.inside else size
                        for box, size in zip(self.boxes, sizes, strict=True)]  # fmt: skip


def _frame(axes: Any, box: Box, inside: list[Any]) -> None:
    left = min(x - w / 2 for (x, _), (w, _) in inside) - 0.1
    right = max(x + w / 2 for (x, _), (w, _) in inside) + 0.1
    top = min(y - h / 2 for (_, y), (_, h) in inside) - 0.1
    low = max(y + h / 2 for (_, y), (_, h) in inside) + 0.1
    axes.fill([left, right, right, left], [top, top, low, low], "#f7f7f7", ec="gray", zorder=0)
    axes.annotate(" ".join(box.lines), (left, top), fontsize=8, va="bottom", color="gray")


def _arrow(axes: Any, a: Any, a_size: Any, b: Any, b_size: Any, label: str, again: bool) -> None:
    start = (a[0], a[1] + a_size[1] / 2)
    end = (b[0], b[1] - b_size[1] / 2)
    if again:  # along the right sides
        start, end = (a[0] + a_size[0] / 2, a[1]), (b[0] + b_size[0] / 2, b[1])
    curve = "arc3,rad=0.6" if again else "arc3"
    look = {
        "arrowstyle": "-|>", "linewidth": 0.7, "linestyle": "--" if again else "-",
        "connectionstyle": curve, "color": "gray" if again else "black", "shrinkA": 0, "shrinkB": 0,
    }  # fmt: skip
    axes.annotate("", end, start, arrowprops=look, zorder=2)
    if label:
        middle = ((start[0] + end[0]) / 2 + 0.06, (start[1] + end[1]) / 2)
        axes.annotate(label, middle, fontsize=6, va="center", color="dimgray", zorder=5)


def _by_graphviz(text: str, form: str) -> bytes:
    done = subprocess.run(
        [str(shutil.which("dot")), f"-T{form}"],
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def collapsed(drawing: Drawing, most: int = MANY) -> Drawing:
    """Return a drawing in which repeats are shown once, in a frame, if there are many boxes.

    A repeat is a sequence of boxes with the same texts that comes three times or more, one after
    the other, as a loop of Python leaves it.
    """
    boxes = drawing.boxes
    if len(boxes) <= most or any(box.inside for box in boxes):
        return drawing
    runs = _runs([(tuple(box.lines), box.kind) for box in boxes])
    if not runs:
        return drawing
    place, turn = list(range(len(boxes))), [0] * len(boxes)
    for start, period, times in runs:
        for k in range(start, start + period * times):
            place[k], turn[k] = start + (k - start) % period, (k - start) // period
    kept = sorted(set(place))
    number = {k: n for n, k in enumerate(kept)}
    made = [boxes[k] for k in kept]
    for start, period, times in runs:
        made.append(Box([f"{times} times"], "other", [number[start + k] for k in range(period)]))
    run_of = {k: start for start, period, _ in runs for k in range(start, start + period)}
    arrows = []
    for a, b, label, again in drawing.arrows:
        same = place[a] in run_of and run_of.get(place[a]) == run_of.get(place[b])
        arrows.append((number[place[a]], number[place[b]], label, again or
                       (same and turn[a] != turn[b])))  # fmt: skip
    return Drawing(made, arrows)


def _runs(texts: Sequence[Any]) -> list[tuple[int, int, int]]:
    """Return (start, period, times) of repeats, the longest at each place, one after the other."""
    found, k, n = [], 0, len(texts)
    while k < n:
        best = (0, 0, 0)
        for period in range(1, min(LONGEST, (n - k) // 3) + 1):
            if texts[k] != texts[k + period]:
                continue
            end = k + period
            while end < n and texts[end] == texts[end - period]:
                end += 1
            times = (end - k) // period
            if times >= 3 and times * period > best[1] * best[2]:
                best = (k, period, times)
        if best[2]:
            found.append(best)
            k += best[1] * best[2]
        else:
            k += 1
    return found
