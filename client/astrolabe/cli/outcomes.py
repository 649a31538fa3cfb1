"""Show a job as its kind deserves, and turn its end into an exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from astrolabe.cli.failures import ExitCode, how_to_go_on
from astrolabe.cli.options import print_json
from astrolabe.episodes import Episode
from astrolabe.models import JobState, JobStatus
from astrolabe.plans import Plan
from astrolabe.render.console import output
from astrolabe.render.episodes import print_episode
from astrolabe.render.jobs import print_state
from astrolabe.render.plans import print_plan

if TYPE_CHECKING:
    from astrolabe.job import JobHandle


def show(job: JobHandle[JobState], *, as_json: bool) -> None:
    """Print the job, with its result if it has one."""
    if as_json:
        print_json(job.raw)
    else:
        _print(job)


def finish(job: JobHandle[JobState], *, as_json: bool) -> None:
    """Print the job; raise ``typer.Exit`` unless it goes on or has a result worth having."""
    show(job, as_json=as_json)
    if job.state.ended and not _has_result(job.state):
        raise typer.Exit(ExitCode.NO_RESULT)


def _print(job: JobHandle[JobState]) -> None:
    console, state = output(), job.state
    print_state(console, state)
    if not state.ended:
        for text in how_to_go_on(state.id):
            console.print(Text(text))
    elif isinstance(state, Plan) and state.status is JobStatus.SUCCEEDED:
        print_plan(console, state)
    elif isinstance(state, Episode) and (state.tree.nodes or state.answered):
        print_episode(console, state)


def _has_result(state: JobState) -> bool:
    if state.status is not JobStatus.SUCCEEDED:
        return False
    if isinstance(state, Plan):
        return bool(state.candidates)
    return state.answered if isinstance(state, Episode) else True
