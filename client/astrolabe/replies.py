"""From an HTTP response to a value or an error: nothing here touches the network."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from astrolabe.errors import ApiProblem, UnexpectedResponseError
from astrolabe.models import Answered, Event, FieldError, Many
from astrolabe.retry import retry_after_seconds

if TYPE_CHECKING:
    import httpx

    from astrolabe.config import Service
    from astrolabe.sse import ServerSentEvent

ModelT = TypeVar("ModelT", bound=BaseModel)
_SHOWN_CHARACTERS = 200


class _ProblemBody(Answered):
    """RFC 9457; every member is optional."""

    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    instance: str | None = None
    request_id: str | None = None
    errors: Many[FieldError] = ()


def problem_of(response: httpx.Response) -> ApiProblem:
    """The problem in a (fully read) response that is an error, whatever its body."""
    try:
        body = _ProblemBody.model_validate_json(response.content)
    except ValidationError:
        body = _ProblemBody(detail=" ".join(response.text.split())[:_SHOWN_CHARACTERS])
    return ApiProblem(
        status=response.status_code,
        title=body.title or _phrase(response.status_code),
        detail=body.detail,
        type_uri=body.type,
        instance=body.instance,
        request_id=body.request_id,
        errors=body.errors,
        retry_after_seconds=retry_after_seconds(response),
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def read_object(service: Service, response: httpx.Response) -> dict[str, Any]:
    """The JSON object in a successful response. Raises ``UnexpectedResponseError``."""
    try:
        body = response.json()
    except ValueError as error:
        media_type = response.headers.get("Content-Type", "no content type")
        raise UnexpectedResponseError(service, _address(response), f"{media_type}, not JSON") from error
    if not isinstance(body, dict):
        raise UnexpectedResponseError(service, _address(response), "JSON, but not an object")
    return body


def read_model(service: Service, response: httpx.Response, model: type[ModelT]) -> tuple[ModelT, dict[str, Any]]:
    """The response as ``model``, and as the JSON object it was."""
    body = read_object(service, response)
    try:
        return model.model_validate(body), body
    except ValidationError as error:
        raise _unlike(service, response, error) from error


def read_list(service: Service, response: httpx.Response, model: type[ModelT]) -> tuple[ModelT, ...]:
    """The JSON array in a successful response, each of its elements as ``model``."""
    try:
        return TypeAdapter(tuple[model, ...]).validate_json(response.content)  # type: ignore[valid-type]
    except ValidationError as error:
        raise _unlike(service, response, error) from error


def _unlike(service: Service, response: httpx.Response, error: ValidationError) -> UnexpectedResponseError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return UnexpectedResponseError(service, _address(response), f"{where}: {first['msg']}".removeprefix(": "))


def read_event(service: Service, url: str, event: ServerSentEvent) -> Event:
    """The job event in a server-sent one."""
    try:
        return Event.model_validate({"id": event.id, "type": event.type, "data": json.loads(event.data)})
    except ValueError as error:
        reason = f"the event {event.type!r} is not one of a job"
        raise UnexpectedResponseError(service, url, reason) from error


def _address(response: httpx.Response) -> str:
    return str(response.url.copy_with(query=None, userinfo=b""))
