"""What every input shares."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError(
            "nul_character", "must not hold NUL characters", {"remedy": "remove the NUL characters"}
        )
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
"""A text without NUL characters."""

Name = Annotated[Text, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
"""A short text without NUL characters."""


def refused(message: str, remedy: str) -> PydanticCustomError:
    """Return the error for a body whose fields contradict one another."""
    return PydanticCustomError("inconsistent", "{message}", {"message": message, "remedy": remedy})


class Input(BaseModel):
    """A strict, immutable input: unknown fields are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __deepcopy__(self, memo: object = None) -> Self:
        """Itself, for it is frozen: pydantic copies the default of a field each time it is left out."""
        return self
