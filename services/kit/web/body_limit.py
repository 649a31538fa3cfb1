"""Refuse a body that is too large before reading it, as a problem; Starlette's own limit answers plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import Request

from kit.problems import FieldError, Problem, render

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """Answer 413 for a body over ``max_body_bytes``, whether its length is declared or only found while reading."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self.max_body_bytes:
            await render(Request(scope), self._problem(int(declared)))(scope, receive, send)
            return
        seen_bytes = 0
        started = False

        async def counted_receive() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > self.max_body_bytes:
                raise self._problem(seen_bytes)
            return message

        async def send_unless_too_large(message: Message) -> None:
            """FastAPI takes our exception for a parsing error; its answer gives way to ours."""
            nonlocal started
            if seen_bytes <= self.max_body_bytes or started:
                started = True
                await send(message)

        try:
            await self.app(scope, counted_receive, send_unless_too_large)
        except Problem:
            if seen_bytes <= self.max_body_bytes:
                raise
        if seen_bytes > self.max_body_bytes and not started:
            await render(Request(scope), self._problem(seen_bytes))(scope, receive, send)

    def _problem(self, size_bytes: int) -> Problem:
        error = FieldError(
            field="body",
            message=f"{size_bytes} bytes or more is over the limit of {self.max_body_bytes} bytes",
            remedy="send a smaller body, or split the work over several requests",
        )
        return Problem(
            413,
            "body-too-large",
            "The body is too large",
            error.message,
            errors=[error],
            headers={"Connection": "close"},
        )
