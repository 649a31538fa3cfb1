"""Who sent the request at hand, as the gate let it in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

from kit.audit import Actor
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kit.auth import Principal


def actor_of(request: Request, caller: Principal) -> Actor:
    """``caller`` as the audit log names it."""
    return Actor(caller.owner, caller.key, request.state.request_id)


def require(scope: str) -> Callable[[Request], Awaitable[Principal]]:
    """A dependency: the caller that the gate let in, who must hold ``scope``."""

    async def principal(request: Request) -> Principal:
        caller: Principal | Problem = request.state.caller
        if isinstance(caller, Problem):
            raise caller
        if scope not in caller.scopes and "admin" not in caller.scopes:
            raise Problem(403, "forbidden", "Forbidden", f"This key lacks the scope {scope!r}.")
        return caller

    return principal
