"""``/livez``: the process runs. ``/readyz``: everything it needs answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from kit.problems import FieldError, Problem, ProblemDetails

Readiness = Mapping[str, Callable[[], Awaitable[object]]]
_CHECK_TIMEOUT_SECONDS = 5.0


class Alive(BaseModel):
    """The process runs."""

    status: Literal["alive"] = "alive"
    service: str


class Ready(BaseModel):
    """Each thing the service needs, and what the check of it said."""

    status: Literal["ready"] = "ready"
    service: str
    checks: dict[str, object]


def health_router(service: str, readiness: Readiness) -> APIRouter:
    """The two probes of ``service``."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", summary="Is the process alive?")
    async def livez() -> Alive:
        return Alive(service=service)

    @router.get("/readyz", summary="Can it serve?", responses={503: {"model": ProblemDetails}})
    async def readyz() -> Ready:
        outcomes = await asyncio.gather(*(_run(check) for check in readiness.values()), return_exceptions=True)
        checks = dict(zip(readiness, outcomes, strict=True))
        failed = {name: outcome for name, outcome in checks.items() if isinstance(outcome, BaseException)}
        if failed:
            errors = [FieldError(field=name, message=_reason(error)) for name, error in failed.items()]
            detail = "; ".join(f"{error.field}: {error.message}" for error in errors)
            raise Problem(503, "not-ready", "Not ready", detail, errors=errors, headers={"Retry-After": "1"})
        return Ready(service=service, checks={name: outcome or "ok" for name, outcome in checks.items()})

    return router


async def _run(check: Callable[[], Awaitable[object]]) -> object:
    async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
        return await check()


def _reason(error: BaseException) -> str:
    """The first line: what follows in a driver's message may hold an address or a query."""
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
