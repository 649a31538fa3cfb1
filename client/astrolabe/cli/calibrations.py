"""``astrolabe calibrations``: fit the cost model to runs of your own, and name the fit in plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from astrolabe import calibrations as operations
from astrolabe.cli.inputs import request_from
from astrolabe.cli.options import AsJson, RequestSource, Set, print_json
from astrolabe.cli.session import session_of
from astrolabe.render.calibrations import print_calibration, print_calibrations
from astrolabe.render.console import output

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient
    from astrolabe.calibrations import Calibration
    from astrolabe.operations import Snapshot

app = typer.Typer(help="Fit the cost model to your own measured runs.", no_args_is_help=True)

CalibrationId = Annotated[UUID, typer.Argument(metavar="CALIBRATION", help="The calibration's id.")]


@app.command("create")
def create(context: typer.Context, request: RequestSource = None, changes: Set = None, as_json: AsJson = False) -> None:
    """Fit 3 to 50 measured runs: the body of POST /calibrations.

    From a table of runs, `python -m planner calibration-body ROWS.csv --name NAME` writes it.
    """
    body = request_from(request, changes)

    async def work(client: AsyncClient) -> Snapshot[Calibration]:
        return await client.run(operations.create(client.operations, body, None))

    _show(session_of(context).run(work), as_json=as_json)


@app.command("list")
def list_calibrations(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest this many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your calibrations, the newest first."""

    async def work(client: AsyncClient) -> list[Calibration]:
        found: list[Calibration] = []
        async for calibration in client.calibrations():
            found.append(calibration)
            if len(found) == limit:
                break
        return found

    found = session_of(context).run(work)
    if as_json:
        print_json({"items": [one.model_dump(mode="json", exclude_unset=True) for one in found]})
    else:
        print_calibrations(output(), found)


@app.command("show")
def show(context: typer.Context, calibration_id: CalibrationId, as_json: AsJson = False) -> None:
    """Show a calibration: its errors, and its factors on the default's parameters."""

    async def work(client: AsyncClient) -> Snapshot[Calibration]:
        return await client.run(operations.read(client.operations, str(calibration_id)))

    _show(session_of(context).run(work), as_json=as_json)


@app.command("delete")
def delete(context: typer.Context, calibration_id: CalibrationId, as_json: AsJson = False) -> None:
    """Forget a calibration. Plans that named it stand; nothing can name it any more."""

    async def work(client: AsyncClient) -> None:
        await client.delete_calibration(str(calibration_id))

    session_of(context).run(work)
    if as_json:
        print_json({"deleted": str(calibration_id)})
    else:
        typer.echo(f"deleted {calibration_id}")


def _show(calibration: Snapshot[Calibration], *, as_json: bool) -> None:
    if as_json:
        print_json(calibration.raw)
    else:
        print_calibration(output(), calibration.state)
