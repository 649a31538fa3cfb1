"""Where the sandbox calls the hosted functions of running programs.

Every run of a program has a token of its own, which the sandbox service sends and the jail never sees; it is good for
as long as the run lasts, and for nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, JsonValue

from codetree.engine.ports import ToolFailedError
from kit.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codetree.engine.ports import ToolCalls

PATH = "/tools"


class ToolCall(BaseModel):
    """What the sandbox posts; it adds which execution and which call of it this is."""

    model_config = ConfigDict(extra="ignore")

    name: str
    arguments: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Door:
    """Where one run's calls go, and with which token."""

    url: str
    token: str


class Gateway:
    """Leads each call to the run it belongs to. ``url`` is this service's as the sandbox reaches it."""

    def __init__(self, url: str) -> None:
        self.router = APIRouter(tags=["tools"])
        self.router.add_api_route(PATH, self._answer, methods=["POST"], summary="Call a hosted function")
        self._url = url.rstrip("/") + PATH
        self._runs: dict[str, ToolCalls] = {}

    @contextmanager
    def opened(self, run: ToolCalls) -> Iterator[Door]:
        """A door for ``run`` while the block lasts."""
        token = secrets.token_urlsafe(32)
        self._runs[_digest(token)] = run
        try:
            yield Door(self._url, token)
        finally:
            del self._runs[_digest(token)]

    async def _answer(self, body: ToolCall, authorization: Annotated[str, Header()] = "") -> dict[str, JsonValue]:
        """The result, or the error that the program is told."""
        scheme, _, token = authorization.partition(" ")
        run = self._runs.get(_digest(token)) if scheme.lower() == "bearer" else None
        if run is None:
            detail = "The token belongs to no program that runs here; only the sandbox is given one."
            raise Problem(401, "unauthorized", "Unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})
        try:
            return {"result": await run.call(body.name, body.arguments)}
        except ToolFailedError as error:
            return {"error": str(error)}


def _digest(token: str) -> str:
    """Looked up by digest: how long a look-up takes says nothing about the tokens there are."""
    return hashlib.sha256(token.encode()).hexdigest()
