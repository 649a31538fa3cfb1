"""A search's progress on the terminal: a bar on standard error, gone when the answer is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from planner.engine.progress import silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from planner.engine import Progress as Report


@contextmanager
def progress_bar() -> Iterator[Report]:
    """What a search reports to; silent when standard error is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("space", total=None, unit="")

        def report(phase: str, completed: int, total: int, unit: str) -> None:
            bar.update(task, description=phase, completed=completed, total=total, unit=unit)

        yield report
