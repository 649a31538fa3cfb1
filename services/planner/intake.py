"""From a question to a job: its key, whether it can be asked, and the same for a line of a batch."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kit import canonical
from kit.batches.web import BatchLines
from kit.jobs import Submission
from kit.webhooks.intake import target_of
from planner import store
from planner.catalog import digest
from planner.engine import ENGINE_VERSION, HomogeneousCluster, InvalidRequest
from planner.schemas import PlanRequest
from planner.settings import SERVICE
from planner.unanswerable import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from fastapi import Request
    from sqlalchemy.orm import Session

    from kit.auth import Principal
    from kit.batches.lines import Line, Parse
    from kit.settings import JobSettings


class _SearchBeginsError(Exception):
    """The question was accepted: the search has begun."""


def search_key(body: PlanRequest, spec: Mapping[str, Any]) -> str:
    """The fingerprint of the question, the engine and the catalogue: equal keys have equal answers."""
    return _key(_spelt(body, spec))


def _spelt(body: PlanRequest, spec: Mapping[str, Any]) -> dict[str, str]:
    """The parts of the question in their canonical form. InvalidRequest on an unknown name."""
    return {part: canonical.dumps(value) for part, value in body.canonical(spec).items()}


def _key(question: dict[str, str]) -> str:
    return canonical.digest("\n".join((ENGINE_VERSION, digest(), *question.values())))


def require_answerable(body: PlanRequest) -> None:
    """Raise ``InvalidRequest`` for a question the engine refuses; it does so before it searches."""

    def stop(phase: str, completed: int, total: int, unit: str) -> None:
        del phase, completed, total, unit
        raise _SearchBeginsError

    with suppress(_SearchBeginsError):
        body.run(stop)


def submission_of(
    body: PlanRequest, spec: dict[str, Any], key: str, caller: Principal, settings: JobSettings, request_id: str
) -> Submission:
    """The question as a job of ``caller``. Raises ``Problem`` 422 where its webhook may not go."""
    return Submission(
        service=SERVICE,
        owner=caller.owner,
        api_key=caller.key,
        quota=caller.quota,
        spec=spec,
        max_attempts=settings.max_attempts,
        active_key=key,
        labels=body.labels,
        external_id=body.external_id,
        webhook_url=target_of(body.webhook, allow_private=settings.webhook_allow_private),
        priority=body.priority,
        request_id=request_id,
    )


def _parse(request: Request, caller: Principal) -> Parse:
    settings, request_id = request.app.state.jobs.settings, request.state.request_id
    answerable: set[tuple[str, ...] | None] = set()

    def parse(value: Any) -> Submission:
        body = PlanRequest.model_validate(value)
        try:
            spec = body.spec()
            question = _spelt(body, spec)
            kind = _kind(body, question)
            if kind is None or kind not in answerable:
                require_answerable(body)
                answerable.add(kind)
        except InvalidRequest as error:
            raise refusal(error) from error
        return submission_of(body, spec, _key(question), caller, settings, request_id)

    return parse


def _kind(body: PlanRequest, question: dict[str, str]) -> tuple[str, ...] | None:
    """Names questions that differ in their sizes only: a sweep is asked about once.

    None where sizes decide whether there is an answer at all, which they do not when data parallelism alone will do.
    """
    cluster = body.cluster
    if not isinstance(cluster, HomogeneousCluster) or body.workload.global_batch_size % cluster.count:
        return None
    return tuple((question | {"workload": body.workload.precision}).values())


def _register(session: Session, made: Sequence[tuple[UUID, Line]]) -> None:
    store.add_plans(session, [(job_id, line.submission.active_key or "") for job_id, line in made])


LINES = BatchLines(parse=_parse, computed=store.with_result, register=_register, views=store.views)
