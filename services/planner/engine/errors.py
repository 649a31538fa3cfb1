"""The one way the engine refuses an input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)  # not frozen: contextlib sets an exception's traceback
class InvalidRequest(ValueError):  # noqa: N818 - the API's word for it; it is a refusal, not a fault
    """A request that no search can answer.

    `field` is a dotted path into the body, `remedy` says what to send instead.
    """

    field: str
    value: object
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message} (got {self.value!r}); {self.remedy}"
