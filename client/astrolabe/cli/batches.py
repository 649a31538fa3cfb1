"""``astrolabe batch``: submit many requests as one, and follow, read and cancel them as one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from astrolabe.calls import EPISODES, PLANS
from astrolabe.cli.batch_waiting import wait_for_batches
from astrolabe.cli.failures import BadInputError, ExitCode
from astrolabe.cli.finding import find
from astrolabe.cli.inputs import read_lines
from astrolabe.cli.options import AsJson, OfService, Timeout, Wait, print_json
from astrolabe.cli.session import session_of
from astrolabe.config import Service
from astrolabe.render.batches import print_batch, print_receipt, print_rejections
from astrolabe.render.console import notices, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astrolabe.async_client import AsyncClient
    from astrolabe.batches.async_batch import AsyncBatch
    from astrolabe.batches.handles import Submission
    from astrolabe.batches.models import BatchReceipt, BatchState
    from astrolabe.calls import JobKind
    from astrolabe.models import JobState

app = typer.Typer(help="Submit, show, read and cancel batches of requests.", no_args_is_help=True)

_NOT_WAITED_FOR = "What was submitted before is in the batch of that time, and is not waited for here."
BatchId = Annotated[UUID, typer.Argument(metavar="BATCH", help="The batch's id.")]


@app.command("submit")
def submit(
    context: typer.Context,
    requests: Annotated[
        str, typer.Argument(metavar="FILE.ndjson", help="A request a line, or a JSON array; `-` reads standard input.")
    ],
    service: Annotated[
        Service | None, typer.Option("--service", help="For this service; by default as the first request looks.")
    ] = None,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Say what would be refused, start nothing.")
    ] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option("--idempotency-key", metavar="KEY", help="The same file under the same key is the same batch."),
    ] = None,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Ask for many jobs; each has an `external_id`, under which submitting it again does not do it again.

    Exit 2 when lines were refused (the others are accepted), 1 when --wait saw jobs fail.
    """
    lines = read_lines(requests)
    kind = _kind(service, lines)

    def tell(receipt: BatchReceipt) -> None:
        if not as_json:
            print_receipt(output(), receipt)

    async def work(client: AsyncClient) -> Submission[AsyncBatch[JobState]]:
        return await client.submit_many(
            kind, lines, validate_only=validate_only, idempotency_key=idempotency_key, on_receipt=tell
        )

    session = session_of(context)
    submission = session.run(work)
    if not as_json:
        print_rejections(notices(), submission.rejections)
    if wait and submission.duplicates:
        notices().print(_NOT_WAITED_FOR)
    ids = [batch.id for batch in submission.batches]
    states = wait_for_batches(session, kind, ids, timeout, quiet=as_json) if wait else []
    _show(submission, states, as_json=as_json)
    if submission.rejections:
        raise typer.Exit(ExitCode.BAD_REQUEST)
    _exit_for(states)


def _kind(service: Service | None, lines: Sequence[bytes]) -> JobKind[JobState]:
    """The kind that ``service`` does; else the one whose requests look like the first line."""
    first = next(filter(bytes.strip, lines), None)
    if first is None:
        raise BadInputError("There is no request: give one a line.")
    if service is None:
        service = Service.CODETREE if _names(first) & {"task", "suite_task"} else Service.PLANNER
    return {Service.PLANNER: PLANS, Service.CODETREE: EPISODES}[service]


def _names(line: bytes) -> set[str]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(request) if isinstance(request, dict) else set()


def _show(submission: Submission[AsyncBatch[JobState]], states: Sequence[BatchState], *, as_json: bool) -> None:
    if as_json:
        receipts = [receipt.model_dump(mode="json", exclude_unset=True) for receipt in submission.receipts]
        batches = [state.model_dump(mode="json", exclude_unset=True) for state in states]
        print_json({"receipts": receipts, "batches": batches})
        return
    for state in states:
        print_batch(output(), state)


def _exit_for(states: Sequence[BatchState]) -> None:
    if any(state.counts.failed or state.counts.cancelled for state in states):
        raise typer.Exit(ExitCode.NO_RESULT)


@app.command("show")
def show_batch(context: typer.Context, batch_id: BatchId, service: OfService = None, as_json: AsJson = False) -> None:
    """Show how far a batch is. Exit 0 whatever came of it."""

    async def work(client: AsyncClient) -> BatchState:
        return await (await _find(client, batch_id, service)).refresh()

    _print(session_of(context).run(work), as_json=as_json)


@app.command("results")
def read_results(
    context: typer.Context,
    batch_id: BatchId,
    service: OfService = None,
    since: Annotated[str | None, typer.Option("--since", metavar="CURSOR", help="Only what came after it.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Go on until the batch is finished.")] = False,
) -> None:
    """Print the jobs that have ended as JSON Lines, in that order; each line has the cursor to go on from."""

    async def work(client: AsyncClient) -> None:
        batch = await _find(client, batch_id, service)
        async for result in batch.results(since, follow=wait):
            typer.echo(result.model_dump_json(exclude_unset=True))

    session_of(context).run(work)


@app.command("cancel")
def cancel_batch(context: typer.Context, batch_id: BatchId, service: OfService = None, as_json: AsJson = False) -> None:
    """Stop every job of a batch that has not ended."""

    async def work(client: AsyncClient) -> BatchState:
        return await (await _find(client, batch_id, service)).cancel()

    _print(session_of(context).run(work), as_json=as_json)


def _print(state: BatchState, *, as_json: bool) -> None:
    if as_json:
        print_json(state.model_dump(mode="json", exclude_unset=True))
    else:
        print_batch(output(), state)


async def _find(client: AsyncClient, batch_id: UUID, service: Service | None) -> AsyncBatch[JobState]:
    return await find(service, lambda kind: client.batch(kind, str(batch_id)))
