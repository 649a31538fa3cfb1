"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from astrolabe.config import Service

RequestSource = Annotated[
    str | None,
    typer.Argument(metavar="REQUEST.json", help="The request; `-` reads standard input.", show_default=False),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a field of the request, such as cluster.count=128. REQUEST.json may then be left out.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show the result.")]
OfService = Annotated[Service | None, typer.Option("--service", help="Ask this service only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the raw JSON only.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=0, metavar="SECONDS", help="With --wait: give up waiting (exit 3); the job goes on."),
]


def print_json(body: dict[str, Any] | list[dict[str, Any]]) -> None:
    """The service's own JSON."""
    typer.echo(json.dumps(body, indent=2, ensure_ascii=False))
