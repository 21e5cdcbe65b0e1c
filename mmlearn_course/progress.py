"""Show how a run of notebooks goes, and how it went.

On a terminal one live line; elsewhere one plain line when a notebook starts and one
when it ends, so that a log stays readable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from . import notebooks

if TYPE_CHECKING:
    from .kernel import OnCell, Run

_UNSTATED = 60.0  # seconds assumed for a notebook whose header states no time
_OFF = 2.0  # factor between stated and measured that is worth a remark


class TimeLeft:
    """Estimates the time left from stated times, scaled by what has been measured."""

    def __init__(self, stated: Sequence[float], now: Callable[[], float]) -> None:
        self._left = list(stated)
        self._now = now
        self._begun = now()
        self._stated_done = 0.0
        self._measured = 0.0

    def start(self) -> None:
        """Note that the next notebook starts."""
        self._begun = self._now()

    def end(self) -> None:
        """Note that the notebook that started last has ended."""
        self._stated_done += self._left.pop(0)
        self._measured += self._now() - self._begun

    def seconds(self, share: float = 0.0) -> float:
        """Estimate the seconds left.

        Args:
            share: The part of the current notebook's cells that are done, 0 to 1.

        Returns:
            Seconds until the last notebook ends.
        """
        if not self._left:
            return 0.0
        scale = self._measured / self._stated_done if self._stated_done else 1.0
        current, elapsed = scale * self._left[0], self._now() - self._begun
        # A notebook slower than stated is guessed from its cells instead.
        left = current - elapsed
        if left < 0:
            left = elapsed * (1 - share) / share if share else current
        return left + scale * sum(self._left[1:])


def each(
    paths: Sequence[Path], work: Callable[[Path, OnCell], Run], console: Console
) -> list[Run]:
    """Do the work for each notebook, and show progress.

    Args:
        paths: The notebooks, in order.
        work: Called with a notebook and what to call after each cell.
        console: Where to show it.

    Returns:
        What `work` returned, in order.
    """
    loaded = [notebooks.stated(notebooks.load(path)) for path in paths]
    left = TimeLeft([s.seconds if s else _UNSTATED for s in loaded], time.monotonic)
    runs: list[Run] = []
    with _display(console, left) as show:
        for i, (path, stated) in enumerate(zip(paths, loaded, strict=True), 1):
            name = f"[{i}/{len(paths)}] {path.stem}"
            if not console.is_terminal:
                about = f" (about {duration(stated.seconds)})" if stated else ""
                _line(console, f"{name}: started{about}")
            left.start()
            result = work(path, show(name))
            left.end()
            runs.append(result)
            done, total = result.cells
            _line(
                console,
                f"{name}: {'FAILED' if result.error else 'ok'}, {done}/{total} cells, "
                f"{duration(result.seconds)}, {gigabytes(result.peak_memory)}",
            )
    return runs


@contextmanager
def _display(console: Console, left: TimeLeft) -> Iterator[Callable[[str], OnCell]]:
    """Open the live line; gives a function from a notebook's name to its callback."""
    if not console.is_terminal:
        yield lambda name: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("cell {task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=console, transient=True) as live:
        task = live.add_task("", total=1, left="")

        def show(name: str) -> OnCell:
            def on_cell(done: int, total: int) -> None:
                wait = duration(left.seconds(done / max(total, 1)))
                live.update(task, completed=done, total=total, left=f"{wait} left")

            live.update(task, description=name, completed=0, total=1)
            return on_cell

        yield show


def report(
    runs: Sequence[Run], paths: Sequence[Path], console: Console, compare: bool
) -> None:
    """Print failures, the table of results, and remarks on the headers.

    Args:
        runs: What happened.
        paths: The notebooks, in the same order.
        console: Where to print.
        compare: Whether the headers' stated time and memory apply to these runs.
    """
    for result in runs:
        if result.error:
            _line(console, f"\n{result.name}, code cell {result.error.cell}:")
            _line(console, _indent(result.error.source))
            _line(console, _indent(result.error.text, "  | "))
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("notebook", "cells", "time", "peak memory", "headline result"):
        table.add_column(heading, overflow="fold")
    for result in runs:
        outcome = "failed" if result.error else result.headline or "-"
        row = (
            result.name,
            "{}/{}".format(*result.cells),
            duration(result.seconds),
            gigabytes(result.peak_memory),
            outcome,
        )
        table.add_row(*map(Text, row))
    console.print(table)
    # The headers state the fast profile; another one says nothing about them.
    if compare and os.environ.get("MMLEARN_PROFILE", "fast") == "fast":
        for result, path in zip(runs, paths, strict=True):
            for remark in _remarks(result, path):
                _line(console, remark)


def _remarks(result: Run, path: Path) -> Iterator[str]:
    """One line for each measurement that is off from the header by more than 2x."""
    stated = notebooks.stated(notebooks.load(path))
    if result.error or stated is None:
        return
    pairs = (
        ("time", result.seconds, stated.seconds, duration),
        ("memory", result.peak_memory, stated.memory, gigabytes),
    )
    for what, measured, expected, show in pairs:
        if not expected / _OFF <= measured <= expected * _OFF:
            yield (
                f"Remark: {result.name} states {show(expected)} of {what}, measured "
                f"{show(measured)} here: correct its header if that is usual"
            )


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "6 min 5 s", "1 h 2 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(round(whole / 60), 60)
    return f"{hours} h {rest} min"


def gigabytes(size: float) -> str:
    """Bytes for people: "0.8 GB"."""
    return f"{size / 1e9:.1f} GB"


def _indent(text: str, prefix: str = "    ") -> str:
    return "\n".join(prefix + line for line in text.splitlines())


def _line(console: Console, text: str) -> None:
    # Lines are for logs and grep: rich must neither wrap nor interpret them.
    console.print(text, soft_wrap=True, markup=False, emoji=False, highlight=False)
