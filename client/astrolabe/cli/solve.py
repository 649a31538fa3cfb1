"""``astrolabe solve``: solve a task by writing and running programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from astrolabe.cli.failures import BadInputError
from astrolabe.cli.inputs import read_request
from astrolabe.cli.options import AsJson, Timeout, Wait
from astrolabe.cli.outcomes import finish
from astrolabe.cli.session import Waiting, session_of, wait_for

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient, AsyncJob
    from astrolabe.episodes import Episode


def solve(
    context: typer.Context,
    request: Annotated[
        str | None, typer.Argument(metavar="[REQUEST.json]", help="The request; `-` reads standard input.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="The task in words, instead of a request.")] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model to ask, instead of the request's; may be repeated.")
    ] = None,
    wait: Wait = False,
    watch: Annotated[bool, typer.Option("--watch", help="Wait, and show the tree as it grows.")] = False,
    as_json: AsJson = False,
    timeout: Timeout = None,
) -> None:
    """Solve a task: a tree of programs, grown by what their execution says, decided by majority vote."""
    body = _body(request, task, model or [])

    async def start(client: AsyncClient) -> AsyncJob[Episode]:
        return await client.solve(body)

    waiting = Waiting(timeout, quiet=as_json, nodes=watch)
    session = session_of(context)
    finish(wait_for(session, start, waiting) if wait or watch else session.run(start), as_json=as_json)


def _body(request: str | None, task: str | None, models: list[str]) -> dict[str, Any]:
    if (request is None) == (task is None):
        raise BadInputError("Give either a request file or --task, and not both.")
    body = {"task": task} if request is None else read_request(request)
    return {**body, "models": models} if models else body
