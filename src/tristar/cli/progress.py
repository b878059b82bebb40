"""Progress of long work: a bar on a terminal, nothing at all elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def byte_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told bytes done and bytes in all."""
    with _bar(BarColumn(), DownloadColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task(label)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def count_progress(label: str) -> Iterator[Callable[[int], None]]:
    """A running number that is told how many are done; how many there will be is not known."""
    with _bar(TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn()) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def row_progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is told rows done and rows in all."""
    with _bar(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task(label)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _bar(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    shown = sys.stderr.isatty()
    return Progress(
        TextColumn("{task.description}"), *columns, console=console, transient=True, disable=not shown
    )
