"""``astrolabe export``: a plan as the file of who will run it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer evaluates annotations
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from astrolabe.cli.failures import BadInputError
from astrolabe.cli.options import AsJson, print_json
from astrolabe.cli.session import session_of
from astrolabe.exports import Export, ExportFormat

if TYPE_CHECKING:
    from astrolabe.async_client import AsyncClient


def export(
    context: typer.Context,
    job_id: Annotated[UUID, typer.Argument(metavar="JOB", help="The finished plan's id.")],
    export_format: Annotated[ExportFormat, typer.Argument(metavar="FORMAT", help=" | ".join(ExportFormat))],
    rank: Annotated[int, typer.Option("--rank", min=1, help="Which candidate; 1 is the best.")] = 1,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there; by default to stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a plan as what its consumer reads: Megatron-LM, NeMo, torchtitan, DeepSpeed, or a trace for Perfetto."""

    async def work(client: AsyncClient) -> Export:
        return await client.export(str(job_id), export_format, rank=rank)

    exported = session_of(context).run(work)
    if target is not None:
        _write(target, exported.text)
    if as_json:
        print_json(asdict(exported))
    elif target is None:
        typer.echo(exported.text, nl=not exported.text.endswith("\n"))


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{target}: cannot be written ({error.strerror or error}).") from error
