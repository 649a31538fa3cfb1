"""Number the jobs of a batch in the order in which their ends are committed, so that readers can resume by number."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, case, func, update

from kit.jobs.models import Batch, Job

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.orm import Session


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
        numbers = [
            {"job": job_id, "number": last - count + position} for position, job_id in enumerate(sorted(job_ids), 1)
        ]
        statement = update(Job).where(Job.id == bindparam("job")).values(batch_seq=bindparam("number"))
        session.connection().execute(statement, numbers)
