"""``astrolabe catalog``: what may be named in a request to the planner."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import typer

from astrolabe.catalog import GPUS, MODELS, PRICES, CatalogPart
from astrolabe.cli.options import AsJson, print_json
from astrolabe.cli.session import session_of
from astrolabe.models import Answered
from astrolabe.render.catalog import print_gpus, print_models, print_prices
from astrolabe.render.console import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from astrolabe.async_client import AsyncClient

EntryT = TypeVar("EntryT", bound=Answered)

app = typer.Typer(help="List the GPUs, models and prices that the planner knows.", no_args_is_help=True)


@app.command("gpus")
def list_gpus(context: typer.Context, as_json: AsJson = False) -> None:
    """The accelerators, with datasheet facts."""
    _list(context, GPUS, print_gpus, as_json=as_json)


@app.command("models")
def list_models(context: typer.Context, as_json: AsJson = False) -> None:
    """The models that a request can name."""
    _list(context, MODELS, print_models, as_json=as_json)


@app.command("prices")
def list_prices(context: typer.Context, as_json: AsJson = False) -> None:
    """What an hour of one GPU costs, by cloud; with the date of the list."""
    _list(context, PRICES, print_prices, as_json=as_json)


def _list(
    context: typer.Context,
    part: CatalogPart[EntryT],
    show: Callable[[Console, tuple[EntryT, ...]], None],
    *,
    as_json: bool,
) -> None:
    async def work(client: AsyncClient) -> tuple[EntryT, ...]:
        return await client.catalog(part)

    entries = session_of(context).run(work)
    if as_json:
        print_json([entry.model_dump(mode="json", exclude_unset=True) for entry in entries])
    else:
        show(output(), entries)
