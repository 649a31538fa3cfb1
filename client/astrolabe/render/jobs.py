"""Jobs, whatever they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from astrolabe.render.console import first_line, line, styled, table
from astrolabe.render.units import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from astrolabe.models import JobState, Progress

STATUS_STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


_COLUMNS = ("Id", "Service", "Status", "Created", "Took", "Details")
_RULED_FROM_COLUMNS = 110


def print_jobs(console: Console, jobs: Iterable[tuple[str, JobState]]) -> None:
    """A table of (service, job)."""
    grid = table(console, _RULED_FROM_COLUMNS)
    for name in _COLUMNS:
        least_columns = 36 if name == "Id" else None
        grid.add_column(name, no_wrap=name not in {"Created", "Details"}, overflow="fold", min_width=least_columns)
    for service, job in jobs:
        grid.add_row(
            job.id,
            service,
            Text(job.status, style=STATUS_STYLES.get(job.status, "")),
            f"{job.created_at:%Y-%m-%d %H:%M:%S}",
            seconds(took_seconds(job)),
            Text(_details(job)),
        )
    console.print(grid)


def _details(job: JobState) -> str:
    progress = describe(job.progress) if job.progress and not job.ended else ""
    labels = line(" ".join(f"{key}={value}" for key, value in job.labels.items()))
    return "; ".join(filter(None, (progress, labels)))


def print_state(console: Console, job: JobState) -> None:
    """One line on a job; a second on why it failed."""
    parts: list[str | tuple[str, str]] = [f"Job {job.id} ", (job.status, STATUS_STYLES.get(job.status, "bold"))]
    if job.progress and not job.ended:
        parts.append(f" ({describe(job.progress)})")
    if took := took_seconds(job):
        parts.append(f" in {seconds(took)}")
    console.print(styled(*parts))
    if job.error:
        console.print(styled(("Error: ", "bold red"), first_line(job.error.detail or job.error.title)))


def describe(progress: Progress) -> str:
    """Such as ``cost: 12,000/48,000 strategies``."""
    total = "" if progress.total is None else f"/{progress.total:,}"
    return line(f"{progress.phase}: {progress.completed:,}{total} {progress.unit}")


def took_seconds(job: JobState) -> float | None:
    """From start to end; None unless it has both."""
    if job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()
