"""What commands that talk to the database share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def database_at_hand() -> Iterator[None]:
    """One line and status 1 where the database does not answer, or has another schema than the code."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        reason = str(error.orig).partition("\n")[0]
        typer.echo(f"error: the database does not answer: {reason}; check ASTROLABE_DATABASE_URL", err=True)
        raise typer.Exit(1) from error
    except ProgrammingError as error:
        if not isinstance(error.orig, UndefinedTable | UndefinedColumn | InvalidSchemaName):
            raise
        typer.echo("error: the database lacks what this code needs; run `python -m kit migrate`", err=True)
        raise typer.Exit(1) from error
