"""Bring a database to the newest schema. Safe to run from several processes at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncEngine

_MIGRATIONS = Path(__file__).parents[2] / "migrations"


def configuration(url: str) -> Config:
    """Alembic's configuration for the database at ``url``."""
    from alembic.config import Config  # noqa: PLC0415 - services that only look at the revision do not load it

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["database_url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Apply the migrations up to ``revision``."""
    from alembic import command  # noqa: PLC0415

    command.upgrade(configuration(url), revision)


async def check_is_current(engine: AsyncEngine) -> str:
    """The revision the database is at. Raises unless it is the newest the code knows."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    newest = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    async with engine.connect() as connection:
        current = await connection.scalar(text("SELECT version_num FROM kit.alembic_version"))
    if current != newest:
        msg = f"the database is at migration {current}, the code needs {newest}: run `python -m kit migrate`"
        raise RuntimeError(msg)
    return str(current)
