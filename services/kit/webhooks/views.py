"""What a caller sees of a delivery."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kit.problems import without_credentials


class DeliveryView(BaseModel):
    """One message to one address, and how its sending goes."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    url: str = Field(description="Without the values of its query, which may be secrets.")
    payload: dict[str, Any]
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: datetime | None
    response_status: int | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @field_validator("url")
    @classmethod
    def _tells_no_secret(cls, url: str) -> str:
        address, mark, _ = without_credentials(url).partition("?")
        return f"{address}?…" if mark else address
