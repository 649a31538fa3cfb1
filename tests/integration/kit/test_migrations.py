from __future__ import annotations

import subprocess
import sys

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from tests.support.launcher import clean_environment

from kit.db import database_url as with_driver
from kit.db import make_async_engine
from kit.migrate import check_is_current, configuration, upgrade


def shape(url: str) -> set[str]:
    """Every column by its name, every index by its definition."""
    query = (
        "SELECT table_schema || '.' || table_name || '.' || column_name FROM information_schema.columns"
        " WHERE table_schema = ANY(:schemas)"
        " UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = ANY(:schemas)"
    )
    engine = create_engine(with_driver(url))
    with engine.connect() as connection:
        found = set(connection.scalars(text(query), {"schemas": ["kit", "planner", "codetree"]}))
    engine.dispose()
    return found


def test_models_and_migrations_agree(database_url: str) -> None:
    command.check(configuration(database_url))


def test_up_from_empty_and_the_last_one_down_and_up_again(empty_database_url: str) -> None:
    upgrade(empty_database_url)
    newest = shape(empty_database_url)
    assert {"kit.jobs.id", "planner.plans.job_id", "codetree.episodes.job_id"} <= newest
    command.downgrade(configuration(empty_database_url), "-1")
    assert shape(empty_database_url) != newest
    upgrade(empty_database_url)
    assert shape(empty_database_url) == newest


def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    environment = clean_environment(ASTROLABE_DATABASE_URL=empty_database_url)
    command_line = [sys.executable, "-m", "kit", "migrate"]
    processes = [subprocess.Popen(command_line, env=environment, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert "kit.jobs.id" in shape(empty_database_url)


def test_there_is_one_history(database_url: str) -> None:
    assert len(ScriptDirectory.from_config(configuration(database_url)).get_heads()) == 1


def test_migrations_run_under_short_locks(empty_database_url: str) -> None:
    """A migration that cannot have its lock gives up instead of stopping the service behind it."""
    upgrade(empty_database_url)
    engine = create_engine(with_driver(empty_database_url))
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE kit.jobs IN ACCESS SHARE MODE"))
        with pytest.raises(Exception, match="lock timeout"):
            command.downgrade(configuration(empty_database_url), "base")
    engine.dispose()


async def test_a_database_behind_the_code_is_not_ready(database_url: str, empty_database_url: str) -> None:
    current = make_async_engine(database_url)
    assert await check_is_current(current)
    await current.dispose()
    upgrade(empty_database_url)
    sync = create_engine(with_driver(empty_database_url))
    with sync.begin() as connection:
        connection.execute(text("UPDATE kit.alembic_version SET version_num = '0000'"))
    sync.dispose()
    behind = make_async_engine(empty_database_url)
    with pytest.raises(RuntimeError, match="python -m kit migrate"):
        await check_is_current(behind)
    await behind.dispose()
