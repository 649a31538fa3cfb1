"""Find out which service has what an id names."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from astrolabe.calls import KINDS
from astrolabe.errors import ApiProblem, ServiceUnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from astrolabe.calls import JobKind
    from astrolabe.config import Service
    from astrolabe.models import JobState

FoundT = TypeVar("FoundT")


def kinds_of(service: Service | None) -> list[JobKind[JobState]]:
    """The kinds of jobs of ``service``, or of all."""
    return [kind for kind in KINDS if service in {None, kind.service}]


async def find(service: Service | None, ask: Callable[[JobKind[JobState]], Awaitable[FoundT]]) -> FoundT:
    """The first answer that is not 404. A service that is away matters only if no other has it."""
    errors: list[ApiProblem | ServiceUnreachableError] = []
    for kind in kinds_of(service):
        try:
            return await ask(kind)
        except ServiceUnreachableError as error:
            errors.insert(0, error)
        except ApiProblem as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            errors.append(error)
    raise errors[0]
