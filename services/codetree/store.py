"""Every query of codetree."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text, update

from codetree import codec
from codetree.export.episode import Finished
from codetree.models import Episode, EpisodeNode, Recorded
from codetree.schemas import Node, SolveResult, SolveView, StoredRequest, Tree
from kit.db import insert_rows
from kit.jobs import Job
from kit.jobs.models import JobEvent
from kit.jobs.transitions import ClaimLostError
from kit.jobs.views import job_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection
    from sqlalchemy.orm import Session

    from codetree.engine.outcome import EpisodeResult
    from codetree.engine.values import LLMReply
    from codetree.page import Page
    from kit.jobs.transitions import Claim

_WRITE_PAGE = text((resources.files("codetree") / "write_page.sql").read_text(encoding="utf-8"))
REPLY = "reply"
FAILURE = "failure"
EXECUTION = "execution"
TOOL = "tool"
MODELS = "models"
"""The models of an episode with their prices, as they were when it began."""


def add_episodes(session: Session, job_ids: Sequence[UUID]) -> None:
    """Give each new job its episode."""
    insert_rows(session, Episode, [{"job_id": job_id} for job_id in job_ids])


def known(session: Session, job_id: UUID) -> tuple[dict[tuple[str, str], dict[str, Any]], set[str]]:
    """What the episode has recorded, (kind, key) -> document, and the keys of the events that are in the job's log."""
    query = select(JobEvent.key).where(JobEvent.job_id == job_id, JobEvent.key.is_not(None))
    return recorded(session, job_id), {key for key in session.scalars(query) if key is not None}


def recorded(session: Session, job_id: UUID) -> dict[tuple[str, str], dict[str, Any]]:
    """Everything the episode has paid for: (kind, key) -> document."""
    rows = session.execute(select(Recorded.kind, Recorded.key, Recorded.value).where(Recorded.job_id == job_id))
    return {(row.kind, row.key): row.value for row in rows}


def write_page(connection: Connection, held: Claim, page: Page) -> None:
    """Write a page in one statement, if this attempt still holds the job. Raises ``ClaimLostError``.

    An episode has no followers, since no two requests are the same computation, so its events are its own job's alone.
    """
    parameters = {"job_id": held.job_id, "attempt": held.attempt, **page.parameters()}
    if connection.execute(_WRITE_PAGE, parameters).first() is None:
        raise ClaimLostError(held)


def result(session: Session, job_id: UUID) -> EpisodeResult | None:
    """What the episode came to, once it has ended."""
    document = session.scalar(select(Episode.result).where(Episode.job_id == job_id))
    return None if document is None else codec.load_result(document)


def save_result(session: Session, job_id: UUID, result: EpisodeResult) -> None:
    """Write what the episode came to."""
    session.execute(update(Episode).where(Episode.job_id == job_id).values(result=codec.dump_result(result)))


def tree(session: Session, job_id: UUID) -> Tree:
    """The tree as it stands, in breadth-first order."""
    query = select(EpisodeNode.node).where(EpisodeNode.job_id == job_id)
    nodes = [codec.load_node(document) for document in session.scalars(query)]
    nodes.sort(key=lambda node: (node.layer, [int(step) for step in node.path.split(".")]))
    return Tree(nodes=[Node.model_validate(node) for node in nodes])


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which episodes: with all the labels, among the ids, of the batch, accepted from ``since`` to before ``until``."""

    labels: Mapping[str, str]
    ids: Sequence[UUID] = ()
    batch_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What the jobs must fulfil."""
        if self.labels:
            yield Job.labels.contains(dict(self.labels))
        if self.ids:
            yield Job.id.in_(self.ids)
        if self.batch_id is not None:
            yield Job.batch_id == self.batch_id
        if self.since is not None:
            yield Job.created_at >= self.since
        if self.until is not None:
            yield Job.created_at < self.until


def finished_ids(session: Session, owner: str, which: Chosen, after: UUID | None, limit: int) -> Sequence[UUID]:
    """Those of the owner's episodes that have a result, oldest first, after the one given."""
    query = (
        select(Job.id)
        .join(Episode, Episode.job_id == Job.id)
        .where(Job.owner == owner, Episode.result.is_not(None), *which.conditions())
    )
    if after is not None:
        query = query.where(Job.id > after)
    return session.scalars(query.order_by(Job.id).limit(limit)).all()


def finished(session: Session, job_ids: Sequence[UUID]) -> list[Finished]:
    """These episodes, as far as they have a result, with every reply that was recorded."""
    query = select(Job.id, Job.spec, Episode.result).join(Episode, Episode.job_id == Job.id)
    rows = session.execute(query.where(Job.id.in_(job_ids), Episode.result.is_not(None)).order_by(Job.id)).all()
    replies = _replies(session, job_ids)
    return [
        Finished(
            str(row.id),
            StoredRequest.model_validate(row.spec, strict=False),
            codec.load_result(row.result),
            replies.get(row.id, {}),
        )
        for row in rows
    ]


def _replies(session: Session, job_ids: Sequence[UUID]) -> dict[UUID, dict[tuple[str, int], LLMReply]]:
    query = select(Recorded.job_id, Recorded.key, Recorded.value)
    found: dict[UUID, dict[tuple[str, int], LLMReply]] = {}
    for row in session.execute(query.where(Recorded.job_id.in_(job_ids), Recorded.kind == REPLY)):
        path, _, turn = row.key.rpartition(":")
        found.setdefault(row.job_id, {})[path, int(turn)] = codec.load_reply(row.value)
    return found


def views(session: Session, jobs: Sequence[Job]) -> list[SolveView]:
    """What the owner sees of each job: the result once there is one, the growing tree before."""
    return [_view(session, job) for job in jobs]


def _view(session: Session, job: Job) -> SolveView:
    document = session.scalar(select(Episode.result).where(Episode.job_id == job.id))
    if document is None:
        return SolveView(**job_fields(job, "/solve"), tree=tree(session, job.id))
    result = SolveResult.from_episode(codec.load_result(document))
    return SolveView(**job_fields(job, "/solve"), **result.answer_fields())
