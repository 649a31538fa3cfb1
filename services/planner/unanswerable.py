"""What a caller is told whose question the engine refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.problems import FieldError, Problem, invalid_request

if TYPE_CHECKING:
    from planner.engine import InvalidRequest


def refusal(error: InvalidRequest) -> Problem:
    """The 422 for a question the engine refuses."""
    wrong = FieldError(field=error.field, message=error.message, value=error.value, remedy=error.remedy)
    return invalid_request([wrong])
