"""Show how a job gets on: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from astrolabe.models import Progress as JobProgress
from astrolabe.render.console import line, notices
from astrolabe.render.growing import Growing, described
from astrolabe.render.jobs import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from astrolabe.models import Event

_LINE_INTERVAL_SECONDS = 5.0
_REFRESHES_PER_SECOND = 8.0


class Display(Protocol):
    """What is told of each event, in order."""

    def __call__(self, event: Event) -> None: ...


def make_display(*, quiet: bool, nodes: bool, console: Console | None = None) -> AbstractContextManager[Display]:
    """The display that suits stderr; ``nodes`` shows each program of an episode, ``quiet`` shows nothing."""
    if quiet:
        return nullcontext(_show_nothing)
    console = console or notices()
    return _Live(console, nodes=nodes) if console.is_terminal else nullcontext(_Lines(console, nodes=nodes))


def _show_nothing(event: Event) -> None:
    del event


class _Lines:
    """A line for each change of state or phase, and now and then one for the progress within a phase."""

    def __init__(self, console: Console, *, nodes: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._nodes = nodes
        self._clock = clock
        self._phase = ""
        self._quiet_until = 0.0

    def __call__(self, event: Event) -> None:
        progress = progress_of(event)
        if progress and progress.unit == "nodes" and self._nodes:
            return  # each node has a line of its own
        text = describe(progress) if progress else describe_event(event, nodes=self._nodes)
        if text and not (progress and self._is_too_soon(progress)):
            self._console.print(Text(text))

    def _is_too_soon(self, progress: JobProgress) -> bool:
        now = self._clock()
        if progress.phase == self._phase and now < self._quiet_until:
            return True
        self._phase, self._quiet_until = progress.phase, now + _LINE_INTERVAL_SECONDS
        return False


class _Live(AbstractContextManager[Display]):
    """A bar for the phase at hand and, with ``nodes``, the tree under it; other events are lines above.

    It is gone when the job has ended.
    """

    def __init__(self, console: Console, *, nodes: bool) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._task = self._progress.add_task("waiting", total=None)
        self._growing = Growing()
        shown = Group(self._progress, self._growing) if nodes else self._progress
        self._live = Live(shown, console=console, transient=True, refresh_per_second=_REFRESHES_PER_SECOND)

    def __enter__(self) -> Display:
        self._live.start()
        return self._show

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def _show(self, event: Event) -> None:
        self._growing.see(event)
        progress = progress_of(event)
        if progress:
            description = describe(progress)
            self._progress.update(
                self._task, description=description, completed=progress.completed, total=progress.total
            )
        elif event.type == "job.started":
            self._progress.update(self._task, description="started", completed=0, total=None)
        elif not event.ends_job and (text := describe_event(event, nodes=False)):
            self._live.console.print(Text(text))


def progress_of(event: Event) -> JobProgress | None:
    """The progress an event tells of, if it does."""
    if event.type != "job.progress":
        return None
    try:
        return JobProgress.model_validate(event.data)
    except ValidationError:
        return None


def describe_event(event: Event, *, nodes: bool) -> str:
    """One line on an event; empty for what is not worth one."""
    subject, _, what = event.type.partition(".")
    if subject == "job":
        return _describe_job(what, event)
    return described(event) if nodes else ""


def _describe_job(what: str, event: Event) -> str:
    if what == "started":
        attempt = event.data.get("attempt")
        return f"started (attempt {attempt})" if attempt else "started"
    if what == "requeued":
        return f"back in the queue: {_text(event, 'reason') or 'its worker was lost'}"
    return {"created": "accepted"}.get(what, line(what))


def _text(event: Event, name: str) -> str:
    value = event.data.get(name)
    return "" if value is None else str(value)
