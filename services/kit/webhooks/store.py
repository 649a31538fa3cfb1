"""Every query of webhooks."""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from kit import totals
from kit.jobs.models import Job
from kit.problems import Problem
from kit.webhooks.models import ENDED_DELIVERIES, WebhookDelivery, WebhookSecret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.orm import Session

SECRET_PREFIX = "whsec_"  # noqa: S105 - the specification's mark of a secret, not one
_SECRET_BYTES = 24
_BOTH_SIGN_FOR = timedelta(hours=24)
_RETRY_AFTER = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""The specification's recommended schedule: about three days."""


def take_due(session: Session, limit: int, hold: timedelta) -> Sequence[WebhookDelivery]:
    """Take deliveries that are due. Each is out of others' reach for ``hold``, then due again unless recorded."""
    due = (
        select(WebhookDelivery.id)
        .where(WebhookDelivery.status == "pending", WebhookDelivery.next_attempt_at <= func.now())
        .order_by(WebhookDelivery.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    chosen = session.scalars(due).all()
    taken = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(chosen))
        .values(next_attempt_at=func.now() + hold, attempts=WebhookDelivery.attempts + 1)
        .returning(WebhookDelivery)
    )
    return session.scalars(taken).all()


def record(session: Session, delivery: WebhookDelivery, response_status: int | None, error: str | None) -> None:
    """Write how an attempt went: delivered on 2xx, gone on 410, otherwise due again until the schedule is spent."""
    values: dict[str, object] = {"response_status": response_status, "error": error}
    gone = response_status == 410  # noqa: PLR2004 - the receiver asks for no more
    if error is None:
        values |= {"status": "delivered", "next_attempt_at": None, "finished_at": func.now()}
    elif gone or delivery.attempts > len(_RETRY_AFTER):
        values |= {"status": "failed", "next_attempt_at": None, "finished_at": func.now()}
    else:
        values["next_attempt_at"] = func.now() + _RETRY_AFTER[delivery.attempts - 1]
    same_attempt = (WebhookDelivery.id == delivery.id) & (WebhookDelivery.attempts == delivery.attempts)
    recorded = update(WebhookDelivery).where(same_attempt, Job.id == WebhookDelivery.job_id).values(values)
    row = session.execute(recorded.returning(Job.service, WebhookDelivery.status)).one_or_none()
    if row is not None and row.status in ENDED_DELIVERIES:
        totals.add(session, {("deliveries", row.service, row.status): 1})


def deliveries(session: Session, job_id: UUID) -> Sequence[WebhookDelivery]:
    """The job's deliveries, oldest first."""
    query = select(WebhookDelivery).where(WebhookDelivery.job_id == job_id).order_by(WebhookDelivery.id)
    return session.scalars(query).all()


def redeliver(session: Session, job_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    """Make a delivery due now, whatever became of it. Raises ``Problem`` 404."""
    delivery: WebhookDelivery | None = session.scalar(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.job_id == job_id)
        .values(status="pending", attempts=0, next_attempt_at=func.now(), finished_at=None)
        .returning(WebhookDelivery)
    )
    if delivery is None:
        raise Problem(404, "not-found", "Not found", f"The job has no delivery {delivery_id}.")
    return delivery


def secrets_of(session: Session, owner: str) -> list[str]:
    """The secrets that sign the owner's deliveries, newest first; the first one is made when there is none."""
    query = (
        select(WebhookSecret)
        .where(WebhookSecret.owner == owner)
        .where(WebhookSecret.expires_at.is_(None) | (WebhookSecret.expires_at > func.now()))
        .order_by(WebhookSecret.created_at.desc(), WebhookSecret.secret)
    )
    found = [row.secret for row in session.scalars(query)]
    return found or [_add_secret(session, owner)]


def rotate_secret(session: Session, owner: str) -> str:
    """A new secret for the owner; the old one signs too for a day."""
    expiry = func.now() + _BOTH_SIGN_FOR
    unexpired = (WebhookSecret.owner == owner) & WebhookSecret.expires_at.is_(None)
    session.execute(update(WebhookSecret).where(unexpired).values(expires_at=expiry))
    return _add_secret(session, owner)


def _add_secret(session: Session, owner: str) -> str:
    secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    session.add(WebhookSecret(owner=owner, secret=secret))
    session.flush()
    return secret
