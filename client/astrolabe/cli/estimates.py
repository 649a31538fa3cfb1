"""``astrolabe estimate``: price given strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from astrolabe.cli.failures import ExitCode
from astrolabe.cli.inputs import request_from
from astrolabe.cli.options import AsJson, RequestSource, Set, print_json
from astrolabe.cli.session import session_of
from astrolabe.render.console import output
from astrolabe.render.plans import print_estimates

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient
    from astrolabe.plans import Estimate


def estimate(
    context: typer.Context, request: RequestSource = None, changes: Set = None, as_json: AsJson = False
) -> None:
    """Estimate time and memory of given strategies, at once. Exit 1 when none of them is feasible."""
    body = request_from(request, changes)

    async def work(client: AsyncClient) -> tuple[tuple[Estimate, ...], dict[str, Any]]:
        return await client.run(client.operations.estimate(body))

    estimates, raw = session_of(context).run(work)
    if as_json:
        print_json(raw)
    else:
        print_estimates(output(), estimates)
    if not any(given.feasible for given in estimates):
        raise typer.Exit(ExitCode.NO_RESULT)
