"""Progress and tables on the terminal: with rich where it is installed, in plain text otherwise."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

__all__ = ["Console", "Progress"]


class Console:
    """Writes lines and tables to standard output."""

    def __init__(self, plain: bool = False) -> None:
        self._rich = None if plain else _rich_console()

    def line(self, text: str = "") -> None:
        """Write one line."""
        if self._rich:
            self._rich.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Write a table; every column but the first is set flush right if it holds figures."""
        right = [_numeric([row[i] for row in rows]) for i in range(len(columns))]
        if self._rich:
            self._rich.print(_rich_table(title, columns, rows, right), "")
            return
        widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
        self.line(f"{title}\n" + "  ".join("-" * width for width in widths))
        for row in [columns, *rows]:
            cells = [
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(row, widths, right, strict=True)
            ]
            self.line("  ".join(cells).rstrip())
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
                BarColumn(),
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

    def step(self, text: str) -> None:
        """Say what comes next; what was said before counts as done."""
        if self._bar:
            self._bar.update(self._task, completed=self._done, description=text)
        else:
            print(f"[{self._done + 1}/{self._total}] {text}", file=sys.stderr, flush=True)
        self._done += 1


def _rich_console():
    try:
        from rich.console import Console
    except ImportError:
        return None
    console = Console()
    return console if console.is_terminal else Console(width=100)


def _rich_table(title, columns, rows, right):
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
    for i, (column, flush) in enumerate(zip(columns, right, strict=True)):
        # Only the last column gives way on a narrow terminal.
        no_wrap = i < len(columns) - 1
        table.add_column(column, justify="right" if flush else "left", no_wrap=no_wrap)
    styles = {"yes": "green", "NO": "red"}
    for row in rows:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    return table


def _numeric(cells: Sequence[str]) -> bool:
    return any(cell[:1].isdigit() for cell in cells) and all(
        not cell or not cell[0].isalpha() for cell in cells
    )
