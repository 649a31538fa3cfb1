"""Connections of the pool that are lost while nobody uses them."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from kit.db import make_engine, transaction


def own_pid(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)


@pytest.mark.parametrize("trusted_seconds", [-1.0, 60.0])
def test_a_connection_that_was_lost_at_rest_is_replaced_unless_it_was_just_used(
    engine: Engine, database_url: str, trusted_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.db._TRUSTED_SECONDS", trusted_seconds)
    mine = make_engine(database_url, pool_size=1)
    with transaction(mine) as session:
        before = own_pid(session.connection())
    with transaction(mine) as session:
        kept = own_pid(session.connection())
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": before})
    if trusted_seconds > 0:
        with pytest.raises(OperationalError), transaction(mine) as session:
            own_pid(session.connection())
    with transaction(mine) as session:
        after = own_pid(session.connection())
    mine.dispose()
    assert kept == before != after
