"""Give every request an id, in its answer and its logs; turn a crash into a problem that carries the id."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from uuid_utils.compat import uuid7

from kit.log import get_logger
from kit.problems import Problem
from kit.web.problems import render

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics"})

logger = get_logger("kit.access")


class RequestContextMiddleware:
    """Accept the caller's ``X-Request-ID`` when it is plain, else make one; answer with it either way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except Problem as problem:
                await render(Request(scope), problem)(scope, receive, send_with_id)
            except Exception:
                logger.exception("request crashed", method=scope["method"], path=scope["path"])
                if status:
                    raise
                await render(Request(scope), _crash())(scope, receive, send_with_id)
            finally:
                _log(scope, status, time.perf_counter() - started)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _ACCEPTABLE_ID.fullmatch(given) else str(uuid7())


def _log(scope: Scope, status: int, seconds: float) -> None:
    level = logger.debug if scope["path"] in _QUIET_PATHS else logger.info
    level("request", method=scope["method"], path=scope["path"], status=status, ms=round(seconds * 1000, 1))


def _crash() -> Problem:
    detail = "The request failed through a fault of the service; it was logged under this request id."
    return Problem(500, "internal", "Internal error", detail)
