"""Every query of calibrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from uuid_utils.compat import uuid7

from planner.calibration.schemas import CalibrationView
from planner.models import FittedCalibration

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.orm import Session

    from planner.calibration.schemas import CalibrationRequest, CalibrationResult


def add(
    session: Session, owner: str, request: CalibrationRequest, result: CalibrationResult, digest: str
) -> CalibrationView:
    """Keep a calibration and the runs it came from."""
    row = FittedCalibration(
        id=uuid7(),
        owner=owner,
        name=request.name,
        gpu=result.gpu,
        stack=result.stack,
        runs=request.model_dump(mode="json")["runs"],
        result=result.model_dump(mode="json"),
        catalog_digest=digest,
    )
    session.add(row)
    session.flush()
    session.refresh(row)
    return _view(row)


def find(session: Session, owner: str, calibration: UUID) -> CalibrationView | None:
    """Return the owner's calibration."""
    row = session.scalar(
        select(FittedCalibration).where(FittedCalibration.id == calibration, FittedCalibration.owner == owner)
    )
    return _view(row) if row else None


def latest(session: Session, owner: str, limit: int) -> list[CalibrationView]:
    """Return the owner's calibrations, the newest first."""
    query = select(FittedCalibration).where(FittedCalibration.owner == owner)
    return [_view(row) for row in session.scalars(query.order_by(FittedCalibration.id.desc()).limit(limit))]


def _view(row: FittedCalibration) -> CalibrationView:
    return CalibrationView(
        **row.result, id=row.id, name=row.name, created_at=row.created_at, catalog_digest=row.catalog_digest
    )
