"""Runs programs in the sandbox service. An outage of the sandbox is never the program's failure."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

import httpx

from codetree.engine.ports import ExecutorError
from codetree.sandbox_wire import (
    execution_request,
    host_tools,
    read_execution,
    refusal,
    session_request,
    step_request,
)
from codetree.tools.bundle import load_tools
from codetree.transport import ReplyTooLargeError, TransientError, patient_client, read_body, with_retries
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import JsonValue, SecretStr

    from codetree.engine.ports import ToolHost
    from codetree.engine.values import Execution, Program
    from codetree.gateway import Gateway

_MAX_REPLY_BYTES = 16 * 1024 * 1024
_QUEUE_SECONDS = 60.0
_SESSION_TRIES = 2
OWNER_HEADER = "X-Astrolabe-Owner"
REQUEST_ID_HEADER = "X-Request-ID"

T = TypeVar("T")
logger = get_logger(__name__)


class NoSuchSessionError(Exception):
    """The sandbox no longer has the session: it ended, expired, or the sandbox restarted."""


class SandboxExecutor:
    """Runs one episode's programs, repeating requests while the sandbox is busy, restarting or out of order.

    Programs have no effect outside their jail, so running one again is safe: hosted functions answer it as before. A
    step in a session that the sandbox lost is run in a new one, after the steps before it. ``owner`` is whom the
    sandbox shares its capacity out to; ``gateway`` is where it may call hosted functions; ``request_id`` stands in its
    logs as in ours.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: SecretStr | None = None,
        max_attempts: int = 6,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        client: httpx.AsyncClient | None = None,
        owner: str | None = None,
        gateway: Gateway | None = None,
        request_id: str | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._max_attempts = max_attempts
        self._sleep = sleep
        headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._own_client = client is None
        self._client = client or patient_client(headers, use_proxies=False)
        told = {OWNER_HEADER: owner, REQUEST_ID_HEADER: request_id}
        self._headers = {name: value for name, value in told.items() if value is not None}
        self._gateway = gateway
        self._sessions: dict[str, str] = {}

    async def execute(self, program: Program, host: ToolHost) -> Execution:
        """The outcome of ``program``. Raises ``ExecutorError`` after the last attempt."""
        if program.session is not None:
            return await self._step(program, host, program.session)
        return await self._run(program, host, execution_request(program))

    async def aclose(self) -> None:
        """End the sessions; close the connections, unless they are shared."""
        for session in self._sessions.values():
            await self._end(session)
        self._sessions.clear()
        if self._own_client:
            await self._client.aclose()

    async def _end(self, session: str) -> None:
        """End a session, or leave it to its idle time; a second try is for a connection that was just closed."""
        url = f"{self._base_url}/sessions/{session}"
        for _ in range(_SESSION_TRIES):
            try:
                await self._client.delete(url, headers=self._headers, timeout=5)
            except httpx.HTTPError as error:
                logger.warning("sandbox.session_left", session=session, reason=type(error).__name__)
            else:
                return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _step(self, program: Program, host: ToolHost, name: str) -> Execution:
        for _ in range(_SESSION_TRIES):
            try:
                session = self._sessions.get(name) or await self._open(program, host, name)
                return await self._run(program, host, step_request(program, program.code, session))
            except NoSuchSessionError:
                self._sessions.pop(name, None)
        raise ExecutorError("the sandbox lost the session twice in one step")

    async def _open(self, program: Program, host: ToolHost, name: str) -> str:
        """A new session in the state that the steps so far left: they are run again, without asking anyone."""
        session = await self._post(program, "sessions", session_request(program), _session_id)
        self._sessions[name] = session
        if tools := load_tools(program):
            await self._run(program, host, step_request(program, tools, session))
        for step in program.history:
            earlier = replace(program, key=step.key)
            await self._run(earlier, host, step_request(earlier, step.code, session), again=True)
        return session

    async def _run(
        self, program: Program, host: ToolHost, body: dict[str, JsonValue], *, again: bool = False
    ) -> Execution:
        """Run, with the gateway open for as long as an attempt lasts: each is answered from its first call on."""
        if not any(tool.hosted for tool in program.tools):
            return await self._post(program, "executions", body, read_execution)
        if self._gateway is None:
            raise ExecutorError("hosted functions are not available here: they need a codetree worker")
        gateway = self._gateway

        async def attempt() -> Execution:
            with gateway.opened(await host.answer(program.key, again=again)) as door:
                request = {**body, "tools": host_tools(program, door)}
                return read_execution(await self._attempt("executions", request, program.wall_seconds))

        return await self._repeated(program, attempt)

    async def _post(self, program: Program, path: str, body: dict[str, JsonValue], read: Callable[[bytes], T]) -> T:
        async def attempt() -> T:
            return read(await self._attempt(path, body, program.wall_seconds))

        return await self._repeated(program, attempt)

    async def _repeated(self, program: Program, attempt: Callable[[], Awaitable[T]]) -> T:
        def on_retry(error: TransientError, number: int) -> None:
            logger.warning("sandbox.retry", node=program.key.path, attempt=number, reason=str(error))

        return await with_retries(attempt, max_attempts=self._max_attempts, on_retry=on_retry, sleep=self._sleep)

    async def _attempt(self, path: str, body: dict[str, JsonValue], wall_seconds: float) -> bytes:
        url, seconds = f"{self._base_url}/{path}", wall_seconds + _QUEUE_SECONDS
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream("POST", url, json=body, headers=self._headers) as response,
            ):
                content = await read_body(response, _MAX_REPLY_BYTES)
        except TimeoutError as error:
            raise TransientError(ExecutorError(f"the sandbox did not answer within {seconds:g} s")) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            message = f"the sandbox at {url} can't be reached: {error or type(error).__name__}"
            raise TransientError(ExecutorError(message)) from error
        except ReplyTooLargeError as error:
            raise ExecutorError(str(error)) from error
        if response.is_success:
            return content
        if response.status_code == httpx.codes.NOT_FOUND and "session" in body:
            raise NoSuchSessionError
        raise refusal(response, content)


def _session_id(body: bytes) -> str:
    try:
        return str(json.loads(body)["id"])
    except (ValueError, LookupError, TypeError) as error:
        raise TransientError(ExecutorError("the sandbox's answer can't be read")) from error
