"""Results of searches go with the last job that asked for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, select

from kit.retention import CHUNK
from planner.models import Plan, Search

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from kit.retention import Cutoff


def remove_searches(session: Session, cutoff: Cutoff) -> int:
    """Remove results older than jobs are kept that no job has any more; how many (a step of ``kit.retention``).

    They are locked first and looked at again then: who gave one to a new job meanwhile held its lock until the commit
    (``planner.store.with_result``), and who comes later finds it gone.
    """
    is_asked_for = exists().where(Plan.search_key == Search.key)
    old = select(Search.key).where(cutoff.before(Search.created_at), ~is_asked_for).limit(CHUNK)
    locked = session.scalars(old.with_for_update(of=Search, skip_locked=True)).all()
    session.execute(delete(Search).where(Search.key.in_(locked), ~is_asked_for))
    return len(locked)
