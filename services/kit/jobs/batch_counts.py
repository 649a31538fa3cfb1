"""Number the jobs of a batch in the order in which their ends are committed, so that readers can resume by number."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.orm import Session

_NOTE = text("""
WITH counted AS (
    UPDATE kit.batches SET
        finished = finished + :count,
        finished_at = CASE WHEN finished + :count >= accepted THEN now() END
    WHERE id = :batch RETURNING finished - :count AS before
)
UPDATE kit.jobs SET batch_seq = counted.before + ended.position
FROM counted, unnest(CAST(:jobs AS uuid[])) WITH ORDINALITY AS ended (id, position) WHERE jobs.id = ended.id
""")


def note_finished(session: Session, ended: Iterable[tuple[UUID, UUID]]) -> None:
    """Count these jobs (job id, batch id) as ended. The batch stays locked until the commit: no gaps."""
    by_batch: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for job_id, batch_id in ended:
        by_batch[batch_id].append(job_id)
    for batch_id, job_ids in sorted(by_batch.items()):
        session.execute(_NOTE, {"batch": batch_id, "jobs": sorted(job_ids), "count": len(job_ids)})
