"""What was counted of rows that are gone, so that no counter read from a table ever falls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

Counted = tuple[str, str, str]
"""The name of a counter, the service and the label it is counted by."""


class Total(Base):
    """The sum of a counter over pruned rows."""

    __tablename__ = "totals"
    __table_args__ = ({"schema": "kit"},)

    name: Mapped[str] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


def add(session: Session, counted: Mapping[Counted, float]) -> None:
    """Add to the sums, in the transaction that removes the rows. In one order, so that no two passes deadlock."""
    rows = [
        {"name": name, "service": service, "label": label, "value": value}
        for (name, service, label), value in sorted(counted.items())
        if value
    ]
    if rows:
        statement = insert(Total).values(rows)
        keys = ["name", "service", "label"]
        changed = {"value": Total.value + statement.excluded.value}
        session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))


def read(session: Session, service: str) -> dict[Counted, float]:
    """The service's sums."""
    rows = session.execute(select(Total.name, Total.label, Total.value).where(Total.service == service))
    return {(row.name, service, row.label): row.value for row in rows}
