"""The planner behind the hosted functions ``plan``, ``estimate`` and ``catalog``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

from codetree.engine.ports import ToolFailedError
from codetree.text import storable_json
from codetree.transport import TransientError, is_transient, patient_client, retry_after_seconds, with_retries
from kit.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue, SecretStr

    from codetree.engine.values import CallKey

_TIMEOUT_SECONDS = 70.0
_WAIT_SECONDS = 50
"""Under the minute that the sandbox gives a call."""
_MAX_ATTEMPTS = 3
_SHOWN = ("mode", "best", "candidates", "frontier", "reasons")
_CATALOGS = ("gpus", "models", "prices")

logger = get_logger(__name__)


class PlannerClient:
    """Asks the planner, on connections that all episodes of a worker share."""

    def __init__(self, base_url: str, api_key: SecretStr | None) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key.get_secret_value()}"}
        self._base_url = base_url.rstrip("/")
        self._client = patient_client(headers, use_proxies=False)

    def for_episode(self, episode: str) -> _Episode:
        """What answers one episode's calls; its plans carry the label ``episode``."""
        return _Episode(self, episode)

    async def send(self, method: str, path: str, *, body: Any = None, key: str | None = None) -> Any:
        """The answer's JSON. Raises ``ToolFailedError`` with the planner's own words."""
        headers = {} if key is None else {"Idempotency-Key": key}

        async def attempt() -> Any:
            try:
                answer = await self._client.request(
                    method, self._base_url + path, json=body, headers=headers, timeout=_TIMEOUT_SECONDS
                )
            except httpx.HTTPError as error:
                away = ToolFailedError(f"the planner can't be reached ({type(error).__name__})")
                raise TransientError(away) from error
            return _read(answer)

        return await with_retries(attempt, max_attempts=_MAX_ATTEMPTS, on_retry=_note)


class _Episode:
    """Satisfies ``Services``. A call that is repeated finds the plan it made."""

    def __init__(self, planner: PlannerClient, episode: str) -> None:
        self._planner = planner
        self._episode = episode

    async def call(self, key: CallKey, function: str, arguments: Mapping[str, JsonValue]) -> JsonValue:
        """Carry out a function of the planner. Raises ``ToolFailedError``."""
        asked: dict[str, JsonValue] = {name: value for name, value in arguments.items() if value is not None}
        if function == "catalog":
            kind = asked.get("kind")
            if kind not in _CATALOGS:
                raise ToolFailedError(f"kind must be one of {', '.join(_CATALOGS)}")
            return storable_json(await self._planner.send("GET", f"/catalog/{kind}"))
        if function == "estimate":
            return storable_json(_strategies(await self._planner.send("POST", "/estimates", body=asked)))
        return storable_json(await self._plan(key, asked))

    async def _plan(self, key: CallKey, asked: dict[str, JsonValue]) -> JsonValue:
        body = {**asked, "labels": {"episode": self._episode}}
        name = f"{self._episode}:{key.path}:{key.turn}:{key.tool}"
        job = await self._planner.send("POST", "/plans", body=body, key=name)
        if job["status"] in {"queued", "running"}:
            job = await self._planner.send("GET", f"/plans/{job['id']}?wait={_WAIT_SECONDS}")
        if job["status"] == "succeeded":
            return {name: job[name] for name in _SHOWN if name in job}
        if job["status"] in {"queued", "running"}:
            raise ToolFailedError("the search takes longer than a call may: narrow it, or ask for the same once more")
        error = job.get("error") or {}
        raise ToolFailedError(f"the search was {job['status']}: {error.get('detail') or 'no reason given'}")


def _strategies(answer: Any) -> Any:
    return answer["estimates"] if isinstance(answer, dict) and "estimates" in answer else [answer]


def _read(answer: httpx.Response) -> Any:
    try:
        document = answer.json()
    except json.JSONDecodeError:
        document = None
    if answer.is_success and document is not None:
        return document
    error = ToolFailedError(_said(answer.status_code, document))
    if is_transient(answer.status_code):
        raise TransientError(error, retry_after_seconds(answer.headers))
    raise error


def _said(status: int, document: Any) -> str:
    """A problem's own words, fields first; what a proxy or a stranger says is not passed on."""
    if not isinstance(document, dict) or "title" not in document:
        return f"the planner answered HTTP {status}"
    wrong = [
        f"{error.get('field')}: {error.get('message')}" + (f" ({error['remedy']})" if error.get("remedy") else "")
        for error in document.get("errors") or []
    ]
    return "; ".join(wrong) or f"{document['title']}: {document.get('detail', '')}"


def _note(error: TransientError, number: int) -> None:
    logger.warning("planner.retry", attempt=number, reason=str(error))
