"""Number the jobs of a batch in the order in which their ends are committed, so that readers can resume by number."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import case, func, text, update

from kit.jobs.models import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.orm import Session

_NUMBER = text("""
UPDATE kit.jobs SET batch_seq = :before + ended.position
FROM unnest(CAST(:jobs AS uuid[])) WITH ORDINALITY AS ended (id, position) WHERE jobs.id = ended.id
""")


def note_finished(session: Session, ended: Iterable[tuple[UUID, UUID]]) -> None:
    """Count these jobs (job id, batch id) as ended. The batch stays locked until the commit: no gaps."""
    by_batch: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for job_id, batch_id in ended:
        by_batch[batch_id].append(job_id)
    for batch_id, job_ids in sorted(by_batch.items()):
        count = len(job_ids)
        last = session.scalars(
            update(Batch)
            .where(Batch.id == batch_id)
            .values(
                finished=Batch.finished + count,
                finished_at=case((Batch.finished + count >= Batch.accepted, func.now())),
            )
            .returning(Batch.finished)
        ).one()
        session.execute(_NUMBER, {"jobs": sorted(job_ids), "before": last - count})
