"""Every query of codetree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from codetree import codec
from codetree.models import Episode, EpisodeNode, Recorded
from codetree.schemas import Node, SolveResult, SolveView, Tree
from kit.jobs.web.views import job_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

    from codetree.engine.outcome import EpisodeResult
    from kit.jobs import Job

REPLY = "reply"
EXECUTION = "execution"


def add_episode(session: Session, job_id: UUID) -> None:
    """Give a new job its episode."""
    session.execute(insert(Episode).values(job_id=job_id))


def recorded(session: Session, job_id: UUID) -> dict[tuple[str, str], dict[str, Any]]:
    """Every reply and execution the episode has paid for: (kind, key) -> document."""
    rows = session.execute(select(Recorded.kind, Recorded.key, Recorded.value).where(Recorded.job_id == job_id))
    return {(row.kind, row.key): row.value for row in rows}


def record(session: Session, job_id: UUID, kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Keep a reply or an execution; the first one written under a key stays."""
    row = {"job_id": job_id, "kind": kind, "key": key, "value": dict(document)}
    session.execute(insert(Recorded).values(row).on_conflict_do_nothing())


def save_node(session: Session, job_id: UUID, path: str, document: Mapping[str, Any]) -> None:
    """Write the node as it now stands."""
    statement = insert(EpisodeNode).values(job_id=job_id, path=path, node=dict(document))
    changed = {"node": statement.excluded.node, "updated_at": func.now()}
    session.execute(statement.on_conflict_do_update(index_elements=["job_id", "path"], set_=changed))


def save_result(session: Session, job_id: UUID, result: EpisodeResult) -> None:
    """Write what the episode came to."""
    session.get_one(Episode, job_id).result = codec.dump_result(result)


def tree(session: Session, job_id: UUID) -> Tree:
    """The tree as it stands, in breadth-first order."""
    query = select(EpisodeNode.node).where(EpisodeNode.job_id == job_id)
    nodes = [codec.load_node(document) for document in session.scalars(query)]
    nodes.sort(key=lambda node: (node.layer, [int(step) for step in node.path.split(".")]))
    return Tree(nodes=[Node.model_validate(node) for node in nodes])


def views(session: Session, jobs: Sequence[Job]) -> list[SolveView]:
    """What the owner sees of each job: the result once there is one, the growing tree before."""
    return [_view(session, job) for job in jobs]


def _view(session: Session, job: Job) -> SolveView:
    document = session.scalar(select(Episode.result).where(Episode.job_id == job.id))
    if document is None:
        return SolveView(**job_fields(job, "/solve"), tree=tree(session, job.id))
    result = SolveResult.from_episode(codec.load_result(document))
    return SolveView(**job_fields(job, "/solve"), **result.answer_fields())
