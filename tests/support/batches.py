"""Batches without a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.audit import Actor
from kit.batches.acceptance import Acceptance
from kit.batches.lines import Line, Parsed, Received
from kit.db import transaction

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Engine

    from kit.jobs import Submission


def batch_of(engine: Engine, *submissions: Submission) -> UUID:
    """Accept the submissions of one owner and service as a batch."""
    lines = [Line(number, submission) for number, submission in enumerate(submissions, 1)]
    first = submissions[0]
    acceptance = Acceptance(first.service, Actor(first.owner), lambda *_: (), lambda *_: None)
    with transaction(engine) as session:
        assert acceptance.begin(session, Received(lines, ""))
        acceptance.add(session, Parsed(lines, []))
        acceptance.end(session)
    return acceptance.batch.id
