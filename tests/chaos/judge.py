"""What Postgres says, read on a connection of the judge's own that no fault of a link touches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from uuid import UUID

TERMINAL = ("succeeded", "failed", "cancelled")
_AGAIN_SECONDS = 0.05
_TRIES = 600
_HELD = "SELECT id, attempt FROM kit.jobs WHERE status IN ('running', 'cancelling') AND leader_id IS NULL"
_ABANDONED = """
SELECT count(*) FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS held(id, attempt) JOIN kit.jobs USING (id)
WHERE NOT (jobs.status = 'queued' OR jobs.status = ANY(%(terminal)s) OR jobs.attempt > held.attempt
           OR coalesce(jobs.lease_until > %(since)s + %(lease)s * interval '1 second', false))
"""


@dataclass(slots=True)
class Judge:
    """Asks again while Postgres is away. ``url`` is a function: a revived Postgres may have another port."""

    url: Callable[[], str]
    idle: Callable[[float], None]
    _connection: psycopg.Connection[tuple[Any, ...]] | None = field(default=None)

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        """The answer to ``query``, however long Postgres takes to come back."""
        for _ in range(_TRIES):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg.connect(
                        self.url(), autocommit=True, connect_timeout=2, row_factory=tuple_row, application_name="judge"
                    )
                return self._connection.execute(query, values).fetchall()  # type: ignore[call-overload]
            except psycopg.OperationalError:
                self.close()
                self.idle(_AGAIN_SECONDS)
        raise TimeoutError("Postgres did not come back")

    def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def held(self) -> list[tuple[UUID, int]]:
        """The jobs that workers hold now, each with its attempt."""
        return [(row[0], row[1]) for row in self.rows(_HELD)]

    def waiting(self) -> int:
        """Jobs that have not ended."""
        return int(self.rows("SELECT count(*) FROM kit.jobs WHERE NOT status = ANY(%(t)s)", t=list(TERMINAL))[0][0])

    def ended(self, ids: Collection[str]) -> bool:
        """Whether all these jobs have ended."""
        query = "SELECT count(*) FROM kit.jobs WHERE id = ANY(%(ids)s::uuid[]) AND finished_at IS NOT NULL"
        return bool(self.rows(query, ids=list(ids))[0][0] == len(ids))

    def abandoned(self, held: Collection[tuple[UUID, int]], since: datetime, lease_seconds: float) -> int:
        """How many of the held jobs are in nobody's good hands.

        A job is in good hands once it has ended, is queued again, has another attempt, or a lease renewed since then.
        """
        values = {"ids": [job for job, _ in held], "attempts": [attempt for _, attempt in held]}
        rows = self.rows(_ABANDONED, **values, terminal=list(TERMINAL), since=since, lease=lease_seconds)
        return int(rows[0][0])
