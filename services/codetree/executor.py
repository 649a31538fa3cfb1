"""Runs programs in the sandbox service. An outage of the sandbox is never the program's failure."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from codetree.engine.ports import ExecutorError
from codetree.engine.values import Execution, ExecutionStatus
from codetree.text import storable, storable_json
from codetree.tools.bundle import bundle
from codetree.transport import (
    ReplyTooLargeError,
    TransientError,
    is_transient,
    patient_client,
    read_body,
    retry_after_seconds,
    with_retries,
)
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from codetree.engine.values import Program

_OUTPUT_BYTES = 256 * 1024
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_QUEUE_SECONDS = 60.0
_MAX_MESSAGE_CHARACTERS = 500

logger = get_logger(__name__)


class _Truncated(BaseModel):
    stdout: bool = False
    stderr: bool = False


class _Measured(BaseModel):
    wall_ms: float = 0.0
    cpu_ms: float = 0.0
    max_rss_bytes: int | None = None


class _Answer(BaseModel):
    """The part of the sandbox's contract that the engine needs."""

    model_config = ConfigDict(extra="ignore")

    status: ExecutionStatus | Literal["sandbox_error"]
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: _Truncated = _Truncated()
    result: JsonValue = None
    result_given: bool = False
    usage: _Measured = _Measured()


class SandboxExecutor:
    """``POST {base_url}/executions``, repeated while the sandbox is busy, restarting or out of order.

    Programs have no effect outside their jail, so running one again is safe.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: SecretStr | None = None,
        max_attempts: int = 6,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = f"{base_url.rstrip('/')}/executions"
        self._max_attempts = max_attempts
        self._sleep = sleep
        headers = {} if token is None else {"Authorization": f"Bearer {token.get_secret_value()}"}
        self._client = patient_client(headers, use_proxies=False)

    async def execute(self, program: Program) -> Execution:
        """The outcome of ``program``. Raises ``ExecutorError`` after the last attempt."""

        def on_retry(error: TransientError, number: int) -> None:
            logger.warning("sandbox.retry", node=program.key.path, attempt=number, reason=str(error))

        async def attempt() -> Execution:
            return await self._attempt(program)

        return await with_retries(attempt, max_attempts=self._max_attempts, on_retry=on_retry, sleep=self._sleep)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _attempt(self, program: Program) -> Execution:
        seconds = program.wall_seconds + _QUEUE_SECONDS
        try:
            async with asyncio.timeout(seconds):
                response, body = await self._post(program)
        except TimeoutError as error:
            raise TransientError(ExecutorError(f"the sandbox did not answer within {seconds:g} s")) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            message = f"the sandbox at {self._url} can't be reached: {error or type(error).__name__}"
            raise TransientError(ExecutorError(message)) from error
        except ReplyTooLargeError as error:
            raise ExecutorError(str(error)) from error
        if response.is_success:
            return _execution(body)
        raise _refusal(response, body)

    async def _post(self, program: Program) -> tuple[httpx.Response, bytes]:
        async with self._client.stream("POST", self._url, json=_request(program)) as response:
            return response, await read_body(response, _MAX_REPLY_BYTES)


def _request(program: Program) -> dict[str, JsonValue]:
    code, files = bundle(program)
    return {
        "code": code,
        "files": [{"path": path, "content": content} for path, content in files.items()],
        "limits": {
            "wall_seconds": program.wall_seconds,
            "cpu_seconds": program.wall_seconds,
            "output_bytes": _OUTPUT_BYTES,
        },
    }


def _execution(body: bytes) -> Execution:
    try:
        answer = _Answer.model_validate(storable_json(json.loads(body)))
    except (ValueError, RecursionError, ValidationError) as error:
        raise TransientError(ExecutorError("the sandbox's answer can't be read")) from error
    if answer.status == "sandbox_error":
        reason = (answer.reason or answer.stderr)[:_MAX_MESSAGE_CHARACTERS] or "no reason given"
        raise TransientError(ExecutorError(f"the sandbox could not run the program: {reason}"))
    return Execution(
        status=answer.status,
        reason=answer.reason,
        exit_code=answer.exit_code,
        signal=answer.signal,
        stdout=answer.stdout,
        stderr=answer.stderr,
        stdout_truncated=answer.truncated.stdout,
        stderr_truncated=answer.truncated.stderr,
        result_given=answer.result_given,
        result=answer.result,
        wall_ms=answer.usage.wall_ms,
        cpu_ms=answer.usage.cpu_ms,
        max_rss_bytes=answer.usage.max_rss_bytes,
    )


def _refusal(response: httpx.Response, body: bytes) -> Exception:
    said = body[:_MAX_MESSAGE_CHARACTERS].decode(errors="replace")
    error = ExecutorError(f"the sandbox answered {response.status_code}: {storable(said)}")
    if is_transient(response.status_code):
        return TransientError(error, retry_after_seconds(response.headers))
    return error
