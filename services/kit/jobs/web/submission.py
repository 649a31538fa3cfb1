"""The answer to an accepted request, and the headers that go with one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Header
from pydantic import BaseModel, Field

from kit.jobs.views import JobView, entity_tag

if TYPE_CHECKING:
    from fastapi import Response

    from kit.jobs.models import Job

ViewT = TypeVar("ViewT", bound=JobView)

_RETRY_AFTER_SECONDS = "1"


class _Headers(BaseModel):
    """Headers that a submission understands."""

    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again with the same body, the first job is answered; with another body, 422.",
    )


JobHeaders = Annotated[_Headers, Header()]


def accepted(response: Response, job: Job, view: ViewT) -> ViewT:
    """Complete a 202: where the job is, and when to look at it."""
    response.status_code = 202
    response.headers["Location"] = view.links["self"]
    response.headers["ETag"] = entity_tag(job)
    if not view.status.is_terminal:
        response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return view
