"""``astrolabe plan``: search for the best strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer  # noqa: TC002 - typer evaluates annotations

from astrolabe.cli.inputs import request_from
from astrolabe.cli.options import AsJson, RequestSource, Set, Timeout, Wait
from astrolabe.cli.outcomes import finish
from astrolabe.cli.session import Waiting, session_of, wait_for

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient, AsyncJob
    from astrolabe.plans import Plan


def plan(
    context: typer.Context,
    request: RequestSource = None,
    changes: Set = None,
    wait: Wait = False,
    as_json: AsJson = False,
    timeout: Timeout = None,
) -> None:
    """Search for the best parallel strategies to train a model on given GPUs."""
    body = request_from(request, changes)

    async def start(client: AsyncClient) -> AsyncJob[Plan]:
        return await client.plan(body)

    waiting = Waiting(timeout, quiet=as_json)
    session = session_of(context)
    finish(wait_for(session, start, waiting) if wait else session.run(start), as_json=as_json)
