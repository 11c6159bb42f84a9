"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from results import records

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table
    from rich.text import Text

    from model_zoo.registry import Broken

STDOUT = Path("-")

# What goes into a file or a pipe is as wide as its content: nothing is cut or broken.
_PIPED_WIDTH = 100_000


def out() -> Console:
    """Return a console on the current stdout."""
    return Console() if sys.stdout.isatty() else Console(width=_PIPED_WIDTH)


def err() -> Console:
    """Return a console on the current stderr."""
    return Console(stderr=True) if sys.stderr.isatty() else Console(stderr=True, width=_PIPED_WIDTH)


def note(text: str) -> None:
    """Write a plain remark to stderr."""
    err().print(text, markup=False, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Write a line of the result to stdout."""
    out().print(text, markup=False, highlight=False, soft_wrap=True)


def table(title: str, *columns: str, right: Iterable[str] = ()) -> Table:
    """Return an empty table; the columns named in `right` are aligned to the right, names are never broken."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    numeric = set(right)
    for column in columns:
        made.add_column(
            column, justify="right" if column in numeric else "left", overflow="fold", no_wrap=column == "name"
        )
    return made


def show(table: Table) -> None:
    """Print a table; where the terminal is too narrow for it, one row below the other, a line per column."""
    console = out()
    console.print(table if _fits(table, console) else _turned(table))


def _fits(table: Table, console: Console) -> bool:
    """Return whether every word of a table stands unbroken at the console's width."""
    from rich.measure import Measurement

    if Measurement.get(console, console.options.update(max_width=_PIPED_WIDTH), table).maximum <= console.width:
        return True  # nothing is even wrapped
    shown = "\n".join("".join(part.text for part in line) for line in console.render_lines(table))
    words = (word for cell in _cells(table) for word in cell.plain.split())
    return all(word in shown for word in words)


def _cells(table: Table) -> Iterable[Text]:
    from rich.text import Text

    for column in table.columns:
        for cell in (column.header, *column.cells):
            yield cell if isinstance(cell, Text) else Text.from_markup(str(cell))


def _turned(table: Table) -> Table:
    from rich.table import Table

    made = Table(
        title=table.title, title_justify="left", title_style="bold", box=None, show_header=False, padding=(0, 1)
    )
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    names = [column.header for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        for name, cell in zip(names, row, strict=True):
            made.add_row(name, cell)
        made.add_row()
    return made


def emit_json(file: Path | None, value: Any) -> bool:
    """Write strict JSON to the file asked for (None: nowhere); return True where it takes the table's place on stdout.

    Raises
    ------
    InvalidOption
        If the file cannot be written.
    """
    if file is None:
        return False
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    if file == STDOUT:
        sys.stdout.write(text)
        return True
    records.check_writable(file, "--json")
    records.write_atomically(file, text)
    return False


def report_broken(kind: str, broken: Iterable[Broken]) -> None:
    """Name on stderr the content files that were set aside."""
    for item in broken:
        err().print(
            f"Set aside, cannot be used as a {kind}: {item.source}: {item.reason}", style="yellow", markup=False
        )


def examples(*lines: str) -> str:
    """Return an epilog for `--help` showing example commands."""
    return "[bold]Examples[/bold]\n\n" + "\n\n".join(f"  {line}" for line in lines)


class Bars:
    """Progress on stderr, and the seconds each stage took: bars in a terminal, elsewhere a plain line now and then.

    Call it as ``bars(stage, done, total)``. Silent when `quiet`; it keeps time anyway.

    Parameters
    ----------
    quiet : True for no sign of life.
    pace : seconds until the first plain line, and between two of them.
    """

    def __init__(self, *, quiet: bool, pace: tuple[float, float] = (10.0, 30.0)) -> None:
        self._quiet = quiet
        self._pace = pace
        self._tasks: dict[str, TaskID] = {}
        self._spans: dict[str, tuple[float, float]] = {}
        self._done: dict[str, tuple[int, int]] = {}
        self._began = time.monotonic()
        self._progress: Progress | None = None
        self._over = threading.Event()

    def __enter__(self) -> Bars:
        console = err()
        if not self._quiet and console.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            text = TextColumn("{task.description}")
            self._progress = Progress(
                text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True
            )
            self._progress.start()
        elif not self._quiet:
            threading.Thread(target=self._tell, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        self._spans[stage] = (self._spans.get(stage, (now, now))[0], now)
        self._done = {**self._done, stage: (done, total)}
        if self._progress is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._progress.add_task(stage, total=total)
            self._progress.update(self._tasks[stage], completed=done, total=total)

    def _tell(self) -> None:
        first, between = self._pace
        wait = first
        while not self._over.wait(wait):
            open_stages = [f"{stage} {done} of {total}" for stage, (done, total) in self._done.items() if done < total]
            note(f"{time.monotonic() - self._began:.0f} s: {', '.join(open_stages) or 'at work'}")
            wait = between

    def durations(self) -> dict[str, float]:
        """Return seconds from the first to the last report of every stage, and "total" since the start."""
        spans = {stage: end - start for stage, (start, end) in self._spans.items()}
        return {**spans, "total": time.monotonic() - self._began}
