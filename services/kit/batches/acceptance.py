"""Make the lines of a batch jobs, some at a time, all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from kit import audit
from kit.jobs.batch_counts import note_finished
from kit.jobs.bulk import submit_many
from kit.jobs.models import Batch
from kit.jobs.submit import key_reused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from kit.audit import Actor
    from kit.batches.lines import Line, Parsed, Received, Rejection


@dataclass(slots=True)
class Acceptance:
    """A batch that is being accepted: ``begin`` it, ``add`` its lines, ``end`` it.

    ``computed`` says which active keys have their result at hand; ``register`` writes the service's own rows.
    """

    service: str
    actor: Actor
    computed: Callable[[Session, Collection[str]], Collection[str]]
    register: Callable[[Session, Sequence[tuple[UUID, Line]]], None]
    batch: Batch = field(init=False)
    _accepted: int = 0
    _duplicates: int = 0
    _refused: list[Rejection] = field(default_factory=list)
    _born_finished: list[UUID] = field(default_factory=list)

    def begin(self, session: Session, received: Received) -> bool:
        """Whether the batch is new; under a known idempotency key it is that batch, and is to get no lines."""
        earlier = self._earlier(session, received)
        if earlier is not None:
            self.batch = earlier
            self._record(session, "repeated")
            return False
        self.batch = Batch(
            id=uuid7(),
            service=self.service,
            owner=self.actor.owner,
            total=sum(raw != b"" for raw in received.raws),
            idempotency_key=received.idempotency_key,
            body_sha256=received.body_sha256,
            accepted=0,
            duplicates=0,
            finished=0,
            rejections=[],
        )
        session.add(self.batch)
        session.flush()
        return True

    def add(self, session: Session, parsed: Parsed) -> None:
        """Make some of its lines jobs."""
        lines = parsed.lines
        submissions = [replace(line.submission, batch_id=self.batch.id) for line in lines]
        outcomes = submit_many(session, submissions, lambda keys: self.computed(session, keys))
        made = [(o.job_id, line) for line, o in zip(lines, outcomes, strict=True) if o.created and o.job_id]
        self.register(session, made)
        self._born_finished += [o.job_id for o in outcomes if o.created and o.finished and o.job_id]
        self._accepted += len(made)
        self._duplicates += sum(not outcome.created and outcome.problem is None for outcome in outcomes)
        self._refused += parsed.rejections
        self._refused += [line.rejected(o.problem) for line, o in zip(lines, outcomes, strict=True) if o.problem]

    def end(self, session: Session) -> None:
        """Write what became of its lines."""
        batch = self.batch
        self._refused.sort(key=lambda rejection: rejection.line)
        batch.accepted, batch.duplicates = self._accepted, self._duplicates
        batch.rejections = [rejection.model_dump(mode="json") for rejection in self._refused]
        if not batch.accepted:
            batch.finished_at = datetime.now(UTC)
        session.flush()
        if self._born_finished:
            note_finished(session, [(job_id, batch.id) for job_id in self._born_finished])
            session.refresh(batch)
        counts = f"{batch.accepted} accepted, {batch.duplicates} repeated, {len(batch.rejections)} refused"
        self._record(session, counts)

    def _record(self, session: Session, outcome: str) -> None:
        audit.record(session, self.actor, "batch.submit", f"{self.service} batch {self.batch.id}", outcome)

    def _earlier(self, session: Session, received: Received) -> Batch | None:
        """The batch that was sent under the same key. Raises ``Problem`` 422 when its body was another."""
        key, service, owner = received.idempotency_key, self.service, self.actor.owner
        if key is None:
            return None
        # One at a time under one key: a repeat that overlaps the first waits for it, and then finds it.
        session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{service}/{owner}/{key}", 0))))
        query = select(Batch).where(Batch.service == service, Batch.owner == owner, Batch.idempotency_key == key)
        batch = session.scalar(query)
        if batch is not None and batch.body_sha256 != received.body_sha256:
            raise key_reused("Idempotency-Key", key, f"batch {batch.id}", 422)
        return batch
