"""Complete the schema that FastAPI writes: errors are problems, and every operation shows what it takes and gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kit.problems import MEDIA_TYPE, FieldError, Problem, details

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Examples = dict[str, dict[str, dict[str, Any]]]
"""By ``METHOD /path``: under ``request`` and ``response`` an example for each media type."""

_FIRST_ERROR = 400
_UNUSED = ("HTTPValidationError", "ValidationError")


def _problem(status: int, slug: str, title: str, detail: str, *errors: FieldError) -> dict[str, Any]:
    problem = Problem(status, slug, title, detail, errors=errors)
    shown = details(problem).model_dump(mode="json")
    return shown | {"request_id": "01a20dea-6a43-7c1e-9d9a-6b0f6c1c2f3e"}


_WRONG_GPU = FieldError(field="cluster.gpu", message="is not a known GPU", value="a1000", remedy="use a100, a100-80")
_USED_UP = FieldError(
    field="quota.concurrent_jobs",
    value=500,
    message="500 jobs of this key are queued or running, of 500 that may be",
    remedy="wait until some have ended, or cancel some",
)
PROBLEMS: dict[int, dict[str, Any]] = {
    400: _problem(400, "bad-request", "Bad Request", "There was an error parsing the body"),
    401: _problem(401, "unauthorized", "Unauthorized", "The API key is unknown, expired or revoked."),
    403: _problem(403, "forbidden", "Forbidden", "This key lacks the scope 'plans:write'."),
    404: _problem(404, "not-found", "Not found", "There is no job 01a20d60-ef49-718c-93cf-9fd39e02716f."),
    409: _problem(409, "already-ended", "The job has ended", "The job has already succeeded."),
    413: _problem(413, "body-too-large", "The body is too large", "4194305 bytes or more is over the limit"),
    415: _problem(415, "unsupported-media-type", "Unsupported media type", "Send Content-Type: application/x-ndjson."),
    422: _problem(422, "invalid-request", "The request is not valid", "cluster.gpu: is not a known GPU", _WRONG_GPU),
    429: _problem(429, "quota-exhausted", "A quota of the key is used up", _USED_UP.message, _USED_UP),
    503: _problem(503, "database-away", "Database away", "The database does not answer; nothing was changed."),
}


def read_examples(path: Path) -> Examples:
    """The examples that a service keeps beside its code."""
    examples: Examples = json.loads(path.read_text())
    return examples


def complete(schema: dict[str, Any], examples: Mapping[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """``schema`` with the media type and an example of every error, and the examples of each operation."""
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _complete(operation, examples.get(f"{method.upper()} {path}", {}))
    for unused in _UNUSED:
        schema["components"]["schemas"].pop(unused, None)
    return schema


def _complete(operation: dict[str, Any], shown: Mapping[str, dict[str, Any]]) -> None:
    _show(operation.get("requestBody", {}), shown.get("request", {}))
    for status, response in operation["responses"].items():
        if int(status) >= _FIRST_ERROR:
            reference = {"$ref": "#/components/schemas/ProblemDetails"}
            response["content"] = {MEDIA_TYPE: {"schema": reference, "example": PROBLEMS[int(status)]}}
        else:
            _show(response, shown.get("response", {}))


def _show(body: dict[str, Any], shown: Mapping[str, Any]) -> None:
    for media_type, content in body.get("content", {}).items():
        if media_type in shown:
            content["example"] = shown[media_type]
