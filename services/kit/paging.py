"""Pages of a list: rows in the order of their ids (UUIDv7: of creation), and an opaque cursor that goes on."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from kit.problems import FieldError, invalid_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from kit.db import Base

RowT = TypeVar("RowT", bound="Base")


class PageQuery(BaseModel):
    """Which page to list. What is not known is refused: a misspelt filter would list everything."""

    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=64, description="`next_cursor` of the page before.")
    limit: int = Field(default=50, ge=1, le=500)


def page(
    session: Session,
    rows: Select[RowT],
    row_id: InstrumentedAttribute[UUID],
    asked: PageQuery,
    *,
    newest_first: bool = True,
) -> tuple[Sequence[RowT], str | None]:
    """The page of ``rows``, whose id column is ``row_id``, and the cursor of the next one."""
    if asked.cursor is not None:
        position = _decode(asked.cursor)
        rows = rows.where(row_id < position if newest_first else row_id > position)
    found = session.scalars(rows.order_by(row_id.desc() if newest_first else row_id).limit(asked.limit + 1)).all()
    if len(found) <= asked.limit:
        return found, None
    return found[:-1], _encode(getattr(found[-2], row_id.key))


def _encode(position: UUID) -> str:
    return base64.urlsafe_b64encode(position.bytes).decode().rstrip("=")


def _decode(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error) as error:
        remedy = "send the next_cursor of the page before, unchanged"
        wrong = FieldError(field="cursor", message="is not a cursor of this list", value=cursor[:64], remedy=remedy)
        raise invalid_request([wrong]) from error
