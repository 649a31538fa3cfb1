"""Tools a program may call: the service asks the caller's endpoint for it. Allow-listed, counted, bounded.

The program sends JSON over a socket it inherited, and gets JSON back; it never sees an address, a header or a network.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from sandbox.guest.values import MAX_NESTING, nested_too_deep
from sandbox.jail.process import receive_exactly

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

MAX_MESSAGE_BYTES = 1 << 20
_MAX_TOLD_CALLS = 1000


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool of one execution. ``parameters``: names in the order in which positional arguments are taken."""

    name: str
    url: str
    headers: Mapping[str, str]
    parameters: tuple[str, ...]
    description: str
    timeout_seconds: float
    max_calls: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a program made; ``error`` is None when it got a result."""

    name: str
    milliseconds: float
    error: str | None


class Connection:
    """The service's end of a program's calls socket: a 4-byte length and JSON, both ways."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when the program is gone or breaks the protocol."""
        header = await receive_exactly(self._connection, 4)
        size_bytes = int.from_bytes(header or b"", "big")
        if header is None or size_bytes > MAX_MESSAGE_BYTES:
            return None
        encoded = await receive_exactly(self._connection, size_bytes)
        try:
            message = json.loads(encoded or b"")
        except (ValueError, RecursionError):
            return None
        return message if isinstance(message, dict) else None

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send ``message``; to a program that is gone, nothing."""
        encoded = json.dumps(message).encode()
        try:
            await asyncio.get_running_loop().sock_sendall(self._connection, len(encoded).to_bytes(4, "big") + encoded)
        except OSError:
            return


def tool_client() -> httpx.AsyncClient:
    """What calls are made with.

    No connection is kept for the next call: its server may close it just then, and a call may not be made twice.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)


class ToolError(Exception):
    """Why a call has no result, as the program is told."""


class ToolBroker:
    """The tools of one execution, and the record of how they were called."""

    def __init__(self, specs: Sequence[ToolSpec], client: httpx.AsyncClient | None, execution: str = "") -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.calls: list[ToolCall] = []
        self._client = client
        self._execution = execution or (uuid.uuid4().hex if specs else "")
        self._made: dict[str, int] = {}

    @classmethod
    def none(cls) -> Self:
        """No tools: every call is refused."""
        return cls((), None)

    def as_told_to_guest(self) -> list[dict[str, object]]:
        """What a program may know of its tools."""
        return [
            {"name": spec.name, "parameters": list(spec.parameters), "description": spec.description}
            for spec in self.specs.values()
        ]

    async def serve(self, connection: Connection, on_other: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Answer calls until the program is gone. ``on_other`` takes messages that are not calls."""
        while (message := await connection.receive()) is not None:
            if "call" in message:
                await connection.send(await self.answer(message))
            elif on_other is not None:
                on_other(message)

    async def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one call; the reply."""
        name = str(message.get("name"))[:128].encode("utf-8", "replace").decode()
        started = time.perf_counter()
        error = None
        try:
            reply = {"result": await self._result(name, message.get("arguments"))}
        except ToolError as refusal:
            error = str(refusal)
            reply = {"error": error}
        if len(self.calls) < _MAX_TOLD_CALLS:
            self.calls.append(ToolCall(name, round((time.perf_counter() - started) * 1000, 1), error))
        return reply

    async def _result(self, name: str, arguments: object) -> Any:
        spec = self.specs.get(name)
        if spec is None or self._client is None:
            raise ToolError("there is no such tool in this execution")
        if not isinstance(arguments, dict) or nested_too_deep(arguments):
            raise ToolError(f"the arguments are nested more than {MAX_NESTING} deep")
        count = self._made[name] = self._made.get(name, 0) + 1
        if count > spec.max_calls:
            raise ToolError(f"it was called {spec.max_calls} times already, which is its limit")
        body = {"name": name, "arguments": arguments, "execution": self._execution, "call": count}
        try:
            async with asyncio.timeout(spec.timeout_seconds):
                return _value_of(await self._post(self._client, spec, body))
        except TimeoutError:
            raise ToolError(f"it did not answer within {spec.timeout_seconds:g} s") from None
        except httpx.HTTPError as error:
            raise ToolError(f"it can't be reached ({type(error).__name__})") from error

    @staticmethod
    async def _post(client: httpx.AsyncClient, spec: ToolSpec, body: Mapping[str, Any]) -> bytes:
        request = client.stream("POST", spec.url, json=body, headers=dict(spec.headers), timeout=spec.timeout_seconds)
        async with request as response:
            if response.status_code != httpx.codes.OK:
                raise ToolError(f"it answered HTTP {response.status_code}")
            received = bytearray()
            async for part in response.aiter_bytes():
                received += part
                if len(received) > MAX_MESSAGE_BYTES:
                    raise ToolError(f"it answered more than {MAX_MESSAGE_BYTES} bytes")
            return bytes(received)


def _value_of(encoded: bytes) -> Any:
    """The value of ``{"result": value}``; ToolError for ``{"error": text}`` and for anything else."""
    try:
        answer = json.loads(encoded)
    except (ValueError, RecursionError):
        raise ToolError("it answered something that is not JSON") from None
    if not isinstance(answer, dict) or not {"result", "error"} & answer.keys():
        raise ToolError("it answered neither a result nor an error")
    if answer.get("error") is not None:
        raise ToolError(str(answer["error"])[:2000])
    if nested_too_deep(answer["result"]):
        raise ToolError(f"its result is nested more than {MAX_NESTING} deep")
    return answer["result"]
