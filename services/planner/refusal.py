"""How a command refuses: one line on standard error, and the status that means bad input."""

from __future__ import annotations

from typing import NoReturn

import typer

BAD_INPUT = 2


def refuse(message: str) -> NoReturn:
    """End the command with `message`."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(BAD_INPUT)
