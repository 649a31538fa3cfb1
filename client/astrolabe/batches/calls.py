"""The requests about batches, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from astrolabe.calls import ANSWER_SECONDS, Call, poll

if TYPE_CHECKING:
    from astrolabe.config import Service

NDJSON = "application/x-ndjson"
JSON_LINES = "application/jsonl"
_PATH = "/batches"
_ACCEPT_SECONDS = 4 * ANSWER_SECONDS
"""Thousands of lines are each checked before the answer."""


def submit(service: Service, content: bytes, *, validate_only: bool, idempotency_key: str | None) -> Call:
    """Ask for the jobs in ``content``, newline-delimited JSON. The key makes sending it again safe."""
    headers = {"Content-Type": NDJSON, "Idempotency-Key": idempotency_key or uuid4().hex}
    params = [("validate_only", "true")] if validate_only else []
    return Call(service, "POST", _PATH, params=params, headers=headers, content=content, read_seconds=_ACCEPT_SECONDS)


def read(service: Service, batch_id: str, wait_seconds: float = 0.0, etag: str | None = None) -> Call:
    """Read a batch, as soon as it is finished or ``wait_seconds`` have passed; 304 when ``etag`` still names it."""
    return poll(service, _path(batch_id), wait_seconds, etag)


def results(service: Service, batch_id: str, since: str | None) -> Call:
    """The jobs that ended after the one that ``since`` is the cursor of."""
    params = [("since", since)] if since else []
    return Call(service, "GET", f"{_path(batch_id)}/results", params=params, headers={"Accept": JSON_LINES})


def cancel(service: Service, batch_id: str) -> Call:
    """Stop every job of a batch."""
    return Call(service, "POST", f"{_path(batch_id)}/cancel")


def _path(batch_id: str) -> str:
    return f"{_PATH}/{quote(batch_id, safe='')}"
