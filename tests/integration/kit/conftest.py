from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from kit.db import make_engine


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database without jobs."""
    engine = make_engine(database_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "TRUNCATE kit.jobs, kit.batches, kit.webhook_secrets, kit.outbox, kit.job_events, kit.api_keys, kit.audit, kit.totals, kit.endings CASCADE"
            )
        )
    yield engine
    engine.dispose()
