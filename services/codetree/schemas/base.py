"""What every body of the codetree API has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError


def without_nul(text: str) -> str:
    """``text``, which Postgres could not store with a NUL in it."""
    if "\0" in text:
        raise PydanticCustomError(
            "nul_character", "must not hold NUL characters", {"remedy": "remove the NUL characters"}
        )
    return text


Text = Annotated[str, AfterValidator(without_nul)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class Request(BaseModel):
    """A body; unknown fields are refused, so that a misspelt limit never means no limit."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
