"""The gate of a service with jobs: who calls is known, and counted, before a byte of the body is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from kit import audit
from kit.audit import Actor
from kit.auth import LOCAL, Principal, authenticate, shown_prefix, unauthorised
from kit.db import async_transaction
from kit.log import get_logger
from kit.problems import Problem
from kit.rates import REJECTED
from kit.web.problems import render

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kit.rates import RateLimiter, Standing
    from kit.settings import RateSettings

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)
_OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"})
_OPEN_FOLDER = "/docs/"
"""Probes, metrics, the schema and its page need no key; they are not counted."""
_DENIED = frozenset({401, 403, 429})
"""Kept in the audit log. A caller that exceeds its rate is not: it would fill the log."""

logger = get_logger(__name__)


def database_away(error: Exception, path: str) -> Problem:
    """The 503 while Postgres is away."""
    logger.warning("database away", error=type(error).__name__, path=path)
    detail = "The database does not answer; nothing was changed. Send the request again."
    return Problem(503, "database-away", "Database away", detail, headers={"Retry-After": "1"})


def _is_open(path: str) -> bool:
    return path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER)


class GateMiddleware:
    """Leaves the caller, or why there is none, in ``request.state.caller`` and says how its rate stands.

    A key has its own rate; a caller without a valid key is counted by address.
    """

    def __init__(
        self, app: ASGIApp, *, engine: AsyncEngine, limiter: RateLimiter, rates: RateSettings, anonymous_is_local: bool
    ) -> None:
        self.app = app
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._limiter = limiter
        self._rates = rates
        self._anonymous_is_local = anonymous_is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._identify(Headers(scope=scope).get("authorization", ""))
        except DATABASE_AWAY as error:
            await render(Request(scope), database_away(error, scope["path"]))(scope, receive, send)
            return
        standing = await self._count(caller, scope)

        status = 0

        async def send_with_rate(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(standing.headers())
            await send(message)

        if standing.is_exceeded:
            REJECTED.labels(standing.policy).inc()
            await render(Request(scope), standing.problem())(scope, receive, send_with_rate)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self.app(scope, receive, send_with_rate)
        if status in _DENIED:
            await self._note_denied(scope, caller, status)

    async def _note_denied(self, scope: Scope, caller: Principal | Problem, status: int) -> None:
        """Keep who was refused what; the request's own transaction is rolled back by then."""
        if isinstance(caller, Principal):
            owner, key = caller.owner, caller.key
        else:
            owner, key = "", shown_prefix(Headers(scope=scope).get("authorization", ""))
        actor = Actor(owner, key, scope["state"].get("request_id"))
        target = f"{scope['method']} {scope['path']}"
        try:
            async with async_transaction(self._engine) as session:
                await session.run_sync(audit.record, actor, "access.denied", target, str(status))
        except DATABASE_AWAY as error:
            logger.warning("a denied access is not in the audit log", error=type(error).__name__, target=target)

    async def _identify(self, authorization: str) -> Principal | Problem:
        scheme, _, key = authorization.partition(" ")
        if not scheme and self._anonymous_is_local:
            return LOCAL
        if scheme.lower() != "bearer" or not key:
            return unauthorised("Send the header `Authorization: Bearer KEY`; `astrolabe-admin keys create` makes one.")
        try:
            return await authenticate(self._autocommit, key.strip())
        except Problem as problem:
            return problem

    async def _count(self, caller: Principal | Problem, scope: Scope) -> Standing:
        address = scope["client"][0] if scope["client"] else "unknown"
        if isinstance(caller, Problem):
            return await self._limiter.count(address, "address", self._rates.rate_limit_without_key)
        return await self._limiter.count(caller.key or address, "key", caller.rate or self._rates.rate_limit)
