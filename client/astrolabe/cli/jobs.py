"""``astrolabe jobs``: list, show, watch and cancel jobs of both services."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from astrolabe.calls import JobQuery
from astrolabe.cli.failures import ExitCode, report
from astrolabe.cli.finding import find, kinds_of
from astrolabe.cli.inputs import read_labels
from astrolabe.cli.options import AsJson, OfService, Timeout, print_json
from astrolabe.cli.outcomes import finish, show
from astrolabe.cli.session import Waiting, session_of, wait_for
from astrolabe.errors import AstrolabeError
from astrolabe.models import JobStatus
from astrolabe.render.console import output
from astrolabe.render.jobs import print_jobs, print_state

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient, AsyncJob
    from astrolabe.calls import JobKind
    from astrolabe.config import Service
    from astrolabe.models import JobState

app = typer.Typer(help="List, show, watch and cancel jobs.", no_args_is_help=True)

JobId = Annotated[UUID, typer.Argument(metavar="JOB", help="The job's id.")]
_PAGE_SIZE = 200


@app.command("list")
def list_jobs(
    context: typer.Context,
    service: OfService = None,
    status: Annotated[list[JobStatus] | None, typer.Option("--status", help="May be repeated.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="All must match.")] = None,
    external_id: Annotated[str | None, typer.Option("--external-id", help="The job that has this id of yours.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest this many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs of both services, or of one."""
    labels, page_size = read_labels(label or []), min(limit, _PAGE_SIZE)
    query = JobQuery(status or (), labels, page_size=page_size, external_id=external_id)

    async def work(client: AsyncClient) -> list[tuple[str, list[JobState] | AstrolabeError]]:
        return [(kind.service, await _newest(client, kind, query, limit)) for kind in kinds_of(service)]

    answers = session_of(context).run(work)
    found = [[(name, job) for job in jobs] for name, jobs in answers if isinstance(jobs, list)]
    newest = sorted(chain.from_iterable(found), key=lambda row: row[1].created_at, reverse=True)[:limit]
    if as_json:
        print_json({"items": [job.model_dump(mode="json", exclude_unset=True) for _, job in newest]})
    elif found:
        print_jobs(output(), newest)
    codes = [report(error) for _, error in answers if isinstance(error, AstrolabeError)]
    raise typer.Exit(codes[0] if codes else ExitCode.OK)


async def _newest(
    client: AsyncClient, kind: JobKind[JobState], query: JobQuery, limit: int
) -> list[JobState] | AstrolabeError:
    """The first ``limit`` jobs, or why there are none: one service being away does not hide the other's jobs."""
    jobs: list[JobState] = []
    try:
        async for job in client.jobs(kind, query):
            jobs.append(job)
            if len(jobs) == limit:
                break
    except AstrolabeError as error:
        return error
    return jobs


@app.command("show")
def show_job(context: typer.Context, job_id: JobId, service: OfService = None, as_json: AsJson = False) -> None:
    """Show a job, with its result when it has ended. Exit 0 whatever came of it."""

    async def work(client: AsyncClient) -> AsyncJob[JobState]:
        return await _find(client, job_id, service)

    show(session_of(context).run(work), as_json=as_json)


@app.command("watch")
def watch_job(
    context: typer.Context,
    job_id: JobId,
    service: OfService = None,
    as_json: AsJson = False,
    timeout: Timeout = None,
) -> None:
    """Wait for a job that was submitted before, and show its result."""

    async def start(client: AsyncClient) -> AsyncJob[JobState]:
        return await _find(client, job_id, service)

    job = wait_for(session_of(context), start, Waiting(timeout, quiet=as_json, nodes=True))
    finish(job, as_json=as_json)


@app.command("cancel")
def cancel_job(context: typer.Context, job_id: JobId, service: OfService = None, as_json: AsJson = False) -> None:
    """Stop a job. While a worker holds it, it is `cancelling` at first."""

    async def work(client: AsyncClient) -> JobState:
        return await (await _find(client, job_id, service)).cancel()

    state = session_of(context).run(work)
    if as_json:
        print_json(state.model_dump(mode="json", exclude_unset=True))
    else:
        print_state(output(), state)


async def _find(client: AsyncClient, job_id: UUID, service: Service | None) -> AsyncJob[JobState]:
    return await find(service, lambda kind: client.job(kind, str(job_id)))
