"""A client for any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from codetree.engine.ports import LLMError, LLMErrorKind
from codetree.llm.registry import Capabilities
from codetree.llm.streaming import collect_stream
from codetree.llm.wire import BadReplyError, error_code, error_message, parse_completion, request_body
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
    from typing import Self

    from pydantic import JsonValue, SecretStr

    from codetree.engine.values import LLMCall, LLMReply

NODE_HEADER = "X-Astrolabe-Node"
TURN_HEADER = "X-Astrolabe-Turn"
TOOL_HEADER = "X-Astrolabe-Tool"
_MAX_REPLY_BYTES = 4 * 1024 * 1024
_MAX_MESSAGE_CHARACTERS = 500
_AUTHENTICATION = frozenset({401, 403})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})

PLAIN = Capabilities()
logger = get_logger(__name__)


class OpenAICompatible:
    """``POST {base_url}/chat/completions``, for a ``base_url`` such as ``http://host/v1``.

    ``timeout_seconds`` bounds one attempt from request to last byte. The key is sent to the endpoint only: no log
    line and no error message holds it.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: SecretStr | None = None,
        timeout_seconds: float = 120.0,
        max_attempts: int = 4,
        key_variable: str = "ASTROLABE_LLM_API_KEY",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = _completions_url(base_url)
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._key_variable = key_variable
        self._client = patient_client()

    async def complete(self, call: LLMCall, capabilities: Capabilities = PLAIN) -> LLMReply:
        """One reply. Raises ``LLMError`` after the last attempt."""
        started, attempts = time.monotonic(), 0

        async def attempt() -> LLMReply:
            nonlocal attempts
            attempts += 1
            return await self._attempt(call, request_body(call, capabilities))

        def on_retry(error: TransientError, number: int) -> None:
            logger.warning("llm.retry", node=call.key.path, turn=call.key.turn, attempt=number, reason=str(error))

        reply = await with_retries(attempt, max_attempts=self._max_attempts, on_retry=on_retry, sleep=self._sleep)
        return replace(reply, attempts=attempts, latency_seconds=time.monotonic() - started)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _attempt(self, call: LLMCall, request: dict[str, JsonValue]) -> LLMReply:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response, body = await self._post(call, request)
        except TimeoutError as error:
            message = f"{self._url} did not answer within {self._timeout_seconds:g} s"
            raise TransientError(LLMError(LLMErrorKind.TIMEOUT, message, may_be_billed=True)) from error
        except httpx.ConnectError as error:
            message = f"can't connect to {self._url}: {error}"
            raise TransientError(LLMError(LLMErrorKind.CONNECTION, message)) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            message = f"the connection to {self._url} broke: {type(error).__name__}"
            raise TransientError(LLMError(LLMErrorKind.CONNECTION, message, may_be_billed=True)) from error
        except ReplyTooLargeError as error:
            raise LLMError(LLMErrorKind.BAD_REPLY, str(error), may_be_billed=True) from error
        if response.is_success:
            return self._parse(collect_stream(body) if request["stream"] else body, call, request)
        raise self._refusal(response, body)

    async def _post(self, call: LLMCall, request: dict[str, JsonValue]) -> tuple[httpx.Response, bytes]:
        headers = {NODE_HEADER: call.key.path, TURN_HEADER: str(call.key.turn)}
        if call.key.tool:
            headers[TOOL_HEADER] = call.key.tool
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"
        async with self._client.stream("POST", self._url, json=request, headers=headers) as response:
            return response, await read_body(response, _MAX_REPLY_BYTES)

    def _parse(self, body: bytes, call: LLMCall, request: dict[str, JsonValue]) -> LLMReply:
        sent = {name: value for name, value in request.items() if name != "messages"}
        try:
            return replace(parse_completion(body, call, provider=self._url), parameters=sent)
        except BadReplyError as error:
            message = self._scrubbed(str(error))
            raise TransientError(LLMError(LLMErrorKind.BAD_REPLY, message, may_be_billed=True)) from error

    def _refusal(self, response: httpx.Response, body: bytes) -> Exception:
        """The error for an HTTP status that is not success, wrapped when another attempt may help."""
        said = self._scrubbed(error_message(body) or response.reason_phrase or "no reason given")
        status = response.status_code
        if status in _AUTHENTICATION:
            return LLMError(LLMErrorKind.AUTHENTICATION, f"{self._url} answered {status}: {said}. {self._key_remedy()}")
        message = f"{self._url} answered {status}: {said}"
        if error_code(body) in _QUOTA_CODES:
            return LLMError(LLMErrorKind.QUOTA, message)
        if not is_transient(status):
            return LLMError(LLMErrorKind.BAD_REQUEST, message)
        limited = status == httpx.codes.TOO_MANY_REQUESTS
        kind = LLMErrorKind.RATE_LIMITED if limited else LLMErrorKind.SERVER_ERROR
        return TransientError(LLMError(kind, message), retry_after_seconds(response.headers))

    def _key_remedy(self) -> str:
        if self._api_key is None:
            return f"No key is configured: set {self._key_variable}"
        return f"The key in {self._key_variable} is not accepted: replace it"

    def _scrubbed(self, text: str) -> str:
        """Endpoints like to repeat the key that they refuse."""
        if self._api_key is not None and (secret := self._api_key.get_secret_value()):
            text = text.replace(secret, "[key]")
        return text[:_MAX_MESSAGE_CHARACTERS]


def _completions_url(base_url: str) -> str:
    url = httpx.URL(base_url)
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError(
            "the LLM base URL must start with http:// or https:// and name a host, as in http://host:8080/v1"
        )
    if url.userinfo:
        raise ValueError("the LLM base URL must not hold a user or a password; use the API key setting")
    return str(url).rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
