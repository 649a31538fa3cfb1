"""Calibrations: what the planner's cost model learnt from measured runs of yours."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

from astrolabe.calls import ANSWER_SECONDS, Call
from astrolabe.config import Service
from astrolabe.models import Answered, Many
from astrolabe.replies import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astrolabe.operations import Operation, Operations, Snapshot

_PATH = "/calibrations"
_FIT_SECONDS = 4 * ANSWER_SECONDS
"""Fifty runs are each priced some hundred times before the answer."""


class CalibrationErrors(Answered):
    """Mean absolute relative errors of iteration time, as fractions; ``after`` is leave-one-out."""

    before: float
    after: float


class MemoryErrors(Answered):
    """Mean absolute relative errors of peak memory, as fractions, over the ``runs`` that state it."""

    runs: int
    before: float
    after: float


class Calibration(Answered):
    """A calibration; plans and estimates name its ``id`` as their ``calibration``."""

    id: str
    name: str
    gpu: str
    stack: str
    runs: int
    factors: dict[str, float]
    errors: CalibrationErrors
    memory: MemoryErrors | None = None
    created_at: datetime


class CalibrationPage(Answered):
    """One page of a list of calibrations; ``next_cursor`` is None on the last."""

    items: Many[Calibration]
    next_cursor: str | None = None


def create(
    operations: Operations, request: Mapping[str, object], idempotency_key: str | None
) -> Operation[Snapshot[Calibration]]:
    """Fit a calibration; sent again under the same key when the answer is lost."""
    headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
    call = Call(Service.PLANNER, "POST", _PATH, headers=headers, body=request, read_seconds=_FIT_SECONDS)
    return operations.snapshot(Service.PLANNER, Calibration, call)


def read(operations: Operations, calibration_id: str) -> Operation[Snapshot[Calibration]]:
    """The calibration with this id."""
    return operations.snapshot(Service.PLANNER, Calibration, Call(Service.PLANNER, "GET", _path(calibration_id)))


def page(operations: Operations, cursor: str | None) -> Operation[tuple[CalibrationPage, dict[str, Any]]]:
    """One page of calibrations, the newest first, and the JSON object it came in."""
    params = [("cursor", cursor)] if cursor else []
    response = yield from operations.exchange(Call(Service.PLANNER, "GET", _PATH, params=params))
    return read_model(Service.PLANNER, response, CalibrationPage)


def delete(operations: Operations, calibration_id: str) -> Operation[None]:
    """Forget a calibration. Raises ``ApiProblem`` 404 when there is none."""
    yield from operations.exchange(Call(Service.PLANNER, "DELETE", _path(calibration_id)))


def _path(calibration_id: str) -> str:
    return f"{_PATH}/{quote(calibration_id, safe='')}"
