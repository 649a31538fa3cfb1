"""Every query of calibrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from uuid_utils.compat import uuid7

from kit import audit, paging
from kit.jobs.submit import key_reused
from planner.calibration.schemas import CalibrationView
from planner.catalog import digest
from planner.models import FittedCalibration

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from kit.audit import Actor
    from kit.paging import PageQuery
    from planner.calibration.schemas import CalibrationRequest, CalibrationResult


def earlier(session: Session, owner: str, request: CalibrationRequest, key: str | None) -> CalibrationView | None:
    """The calibration that was sent under the same ``Idempotency-Key``. Raises ``Problem`` 422 when it was another."""
    if key is None:
        return None
    # One at a time under one key: a repeat that overlaps the first waits for it, and then finds it.
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"calibrations/{owner}/{key}", 0))))
    row = session.scalar(_of(owner).where(FittedCalibration.idempotency_key == key))
    if row is None:
        return None
    body = request.model_dump(mode="json")
    if (row.name, row.stack, row.runs) != (request.name, request.stack, body["runs"]):
        raise key_reused("Idempotency-Key", key, f"calibration {row.id}", 422)
    return _view(row)


def add(
    session: Session, actor: Actor, request: CalibrationRequest, result: CalibrationResult, key: str | None
) -> CalibrationView:
    """Keep a calibration and the runs it came from."""
    row = FittedCalibration(
        id=uuid7(),
        owner=actor.owner,
        name=request.name,
        gpu=result.gpu,
        stack=result.stack,
        runs=request.model_dump(mode="json")["runs"],
        result=result.model_dump(mode="json"),
        catalog_digest=digest(),
        idempotency_key=key,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    audit.record(session, actor, "calibration.create", f"calibration {row.id}")
    return _view(row)


def find(session: Session, owner: str, calibration: UUID) -> CalibrationView | None:
    """Return the owner's calibration."""
    row = session.scalar(_of(owner).where(FittedCalibration.id == calibration))
    return _view(row) if row else None


def remove(session: Session, actor: Actor, calibration: UUID) -> bool:
    """Forget the owner's calibration; False when there is none. What was asked with it carries its factors."""
    row = session.scalar(_of(actor.owner).where(FittedCalibration.id == calibration))
    if row is None:
        return False
    session.delete(row)
    audit.record(session, actor, "calibration.delete", f"calibration {calibration}")
    return True


def page(session: Session, owner: str, asked: PageQuery) -> tuple[list[CalibrationView], str | None]:
    """Return a page of the owner's calibrations, the newest first, and the cursor of the next one."""
    rows, following = paging.page(session, _of(owner), FittedCalibration.id, asked)
    return [_view(row) for row in rows], following


def _of(owner: str) -> Select[FittedCalibration]:
    return select(FittedCalibration).where(FittedCalibration.owner == owner)


def _view(row: FittedCalibration) -> CalibrationView:
    return CalibrationView(
        **row.result, id=row.id, name=row.name, created_at=row.created_at, catalog_digest=row.catalog_digest
    )
