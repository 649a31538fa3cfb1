"""Refuse a body that is too large or compressed before reading it; Starlette's own limit answers plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.requests import Request

from kit.problems import FieldError, Problem
from kit.web.problems import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """Answer 413 for a body over ``max_body_bytes``, whether its length is declared or only found while reading.

    A compressed one is answered with 415.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, by_path: Mapping[str, int] | None = None) -> None:
        self.app = app
        self._default_bytes = max_body_bytes
        self._by_path = dict(by_path or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self._by_path.get(scope["path"], self._default_bytes)
        if refusal := _refusal(Headers(scope=scope), limit):
            await render(Request(scope), refusal)(scope, receive, send)
            return
        seen_bytes = 0
        started = False

        async def counted_receive() -> Message:
            nonlocal seen_bytes
            message = await receive()
            seen_bytes += len(message.get("body", b""))
            if seen_bytes > limit:
                raise _problem(seen_bytes, limit)
            return message

        async def send_unless_too_large(message: Message) -> None:
            """FastAPI takes our exception for a parsing error; its answer gives way to ours."""
            nonlocal started
            if seen_bytes <= limit or started:
                started = True
                await send(message)

        try:
            await self.app(scope, counted_receive, send_unless_too_large)
        except Problem:
            if seen_bytes <= limit:
                raise
        if seen_bytes > limit and not started:
            await render(Request(scope), _problem(seen_bytes, limit))(scope, receive, send)


def _refusal(headers: Headers, limit: int) -> Problem | None:
    """What is wrong with a body by what its headers say."""
    encoding, declared = headers.get("content-encoding", "identity"), headers.get("content-length", "")
    if encoding.lower() != "identity":
        return _encoded(encoding)
    return _problem(int(declared), limit) if declared.isdigit() and int(declared) > limit else None


def _encoded(encoding: str) -> Problem:
    """A compressed body would be unpacked past any limit."""
    error = FieldError(
        field="Content-Encoding", value=encoding[:64], message="is not understood", remedy="send the body as it is"
    )
    detail = f"Content-Encoding {error.message}; {error.remedy}."
    headers = {"Accept-Encoding": "identity", "Connection": "close"}
    return Problem(415, "unsupported-encoding", "Unsupported encoding", detail, errors=[error], headers=headers)


def _problem(size_bytes: int, limit: int) -> Problem:
    error = FieldError(
        field="body",
        message=f"{size_bytes} bytes or more is over the limit of {limit} bytes",
        remedy="send a smaller body, or split the work over several requests",
    )
    return Problem(
        413, "body-too-large", "The body is too large", error.message, errors=[error], headers={"Connection": "close"}
    )
