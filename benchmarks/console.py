"""Progress and tables on the terminal: with rich where it is installed, in plain text otherwise."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from types import TracebackType
from typing import Any

__all__ = ["Console", "Progress"]

WIDTH = 100  # where nothing tells it
STYLES = {
    "met": "green", "MISSED": "bold red", "not measured": "yellow",
    "faster": "green", "less": "green", "SLOWER": "bold red", "MORE": "bold red",
}  # fmt: skip
GAP, EDGES = 2, 2  # blanks between columns, and beside them


class Console:
    """Writes lines and tables to standard output, as wide as that is.

    The width is the terminal's, or ``COLUMNS`` of the environment; 100 where there is neither.
    """

    def __init__(self, plain: bool = False) -> None:
        width = shutil.get_terminal_size((WIDTH, 24)).columns
        self._rich = None if plain else _rich_console(width)
        self.width: int = self._rich.width if self._rich else width

    def line(self, text: str = "") -> None:
        """Write one line, however long it is."""
        if self._rich:
            self._rich.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def paragraph(self, text: str) -> None:
        """Write text, broken between words."""
        for line in textwrap.wrap(text, max(self.width, 20), break_on_hyphens=False):
            self.line(line)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table; every column but the first is set flush right if it holds figures.

        Where it is too wide, text is broken into lines inside its cell: no column is ever left out.
        """
        right = [_numeric([row[i] for row in rows]) for i in range(len(columns))]
        widths = _fit([columns, *rows], self.width - EDGES)
        if self._rich:
            self._rich.print(_rich_table(title, columns, rows, right, widths), "")
            return
        self.paragraph(title)
        self.line("  ".join("-" * width for width in widths))
        for row in [columns, *rows]:
            cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
            for parts in zip_longest(*cells, fillvalue=""):
                line = [
                    part.rjust(width) if flush else part.ljust(width)
                    for part, width, flush in zip(parts, widths, right, strict=True)
                ]
                self.line("  ".join(line).rstrip())
        self.line()

    def progress(self, total: int) -> Progress:
        """Return a progress display of `total` steps, to be used in a ``with`` statement."""
        return Progress(self, total)


class Progress:
    """A bar that redraws itself on a terminal; a line for each step elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total, self._done = console, total, 0
        self._bar: Any = None  # a rich.progress.Progress
        self._task: Any = None

    def __enter__(self) -> Progress:
        rich = self._console._rich
        if rich and rich.is_terminal:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._bar = Progress(
                BarColumn(self._bar_width()),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),
                console=rich,
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=self._total)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def _bar_width(self) -> int:
        return min(40, self._console.width // 5)

    def step(self, text: str) -> None:
        """Say what comes next; what was said before counts as done."""
        self._total = max(self._total, self._done + 1)  # repetitions were not foreseen
        if self._bar:
            # Left to itself, a long text takes the place of the bar, the count and the time.
            room = self._console.width - self._bar_width() - 2 * len(str(self._total)) - 12
            shown = text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"
            self._bar.update(self._task, completed=self._done, total=self._total, description=shown)
        else:
            print(f"[{self._done + 1}/{self._total}] {text}", file=sys.stderr, flush=True)
        self._done += 1


def _rich_console(width: int):
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console()
    return console if console.is_terminal else Console(width=width)


def _fit(lines: Sequence[Sequence[str]], total: int) -> list[int]:
    """Return widths of columns that fill at most `total`, if each can have one character.

    The widest give way first, down to their longest words; only then are words broken.
    """
    widths, words = [], []
    for cells in zip(*lines, strict=True):
        widths.append(max(map(len, cells)))
        words.append(max(len(word) for cell in cells for word in [*cell.split(), ""]))
    total -= GAP * (len(widths) - 1)
    for least in (words, [1] * len(widths)):
        while sum(widths) > total and (wide := [i for i in _order(widths) if widths[i] > least[i]]):
            widths[wide[0]] -= 1
    return widths


def _order(widths: list[int]) -> list[int]:
    return sorted(range(len(widths)), key=lambda i: -widths[i])


def _rich_table(title, columns, rows, right, widths):
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    # Left to itself, rich gives up the last columns where the others cannot be broken.
    for column, flush, width in zip(columns, right, widths, strict=True):
        justify = "right" if flush else "left"
        table.add_column(column, justify=justify, overflow="fold", width=width)
    for row in rows:
        cells = ["\n".join(_wrapped(cell, width)) for cell, width in zip(row, widths, strict=True)]
        styles = [STYLES.get(cell, "") for cell in row]
        table.add_row(*map(Text, cells, styles))
    return table


def _wrapped(cell: str, width: int) -> list[str]:
    indent = cell[: len(cell) - len(cell.lstrip())]
    lines = textwrap.wrap(cell, width, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [""]


def _numeric(cells: Sequence[str]) -> bool:
    return any(cell[:1].isdigit() for cell in cells) and all(
        not cell or not cell[0].isalpha() for cell in cells
    )
