"""Errors as RFC 9457 ``application/problem+json``: what was wrong, where, what to do. Never a stack trace."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE = "application/problem+json"
_SHOWN_VALUE_CHARACTERS = 200
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
_REMEDIES = {
    "missing": "add the field",
    "extra_forbidden": "remove the field or correct its name",
    "model_attributes_type": "send a JSON object with Content-Type: application/json",
    "greater_than": "send more than {gt}",
    "greater_than_equal": "send at least {ge}",
    "less_than": "send less than {lt}",
    "less_than_equal": "send at most {le}",
    "too_short": "send at least {min_length}",
    "too_long": "send at most {max_length}",
    "string_too_short": "send at least {min_length} characters",
    "string_too_long": "send at most {max_length} characters",
    "string_pattern_mismatch": "send a text that matches {pattern}",
    "string_type": "send a text",
    "int_type": "send a whole number",
    "int_parsing": "send a whole number",
    "int_from_float": "send a whole number",
    "float_type": "send a number",
    "float_parsing": "send a number",
    "bool_type": "send true or false",
    "bool_parsing": "send true or false",
    "list_type": "send an array",
    "dict_type": "send an object",
    "model_type": "send an object",
    "literal_error": "send {expected}",
    "enum": "send {expected}",
    "union_tag_invalid": "send {discriminator} as one of {expected_tags}",
    "union_tag_not_found": "add {discriminator}, which says of what kind it is",
    "uuid_parsing": "send the id as the service gave it",
    "url_parsing": "send a whole address, such as https://host/path",
}
"""By pydantic's types of errors; what stands in braces is in their context."""


class FieldError(BaseModel):
    """One wrong field: its path in the request, what is wrong, the value it had, and the remedy."""

    field: str = Field(examples=["cluster.gpu"])
    message: str
    value: Any = None
    remedy: str | None = None


class ProblemDetails(BaseModel):
    """The body of every error answer (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:astrolabe:problem:invalid-request"])
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] = []


class Problem(Exception):  # noqa: N818 - named after the RFC's term, which is what readers look for
    """An error for the caller. ``slug`` is stable and machine-readable; ``detail`` says what to do."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})


def invalid_request(errors: Sequence[FieldError]) -> Problem:
    """The 422 for a request whose fields are wrong."""
    detail = "; ".join(f"{error.field}: {error.message}" for error in errors[:3])
    return Problem(422, "invalid-request", "The request is not valid", detail, errors=errors)


def details(problem: Problem) -> ProblemDetails:
    """The body that tells ``problem``."""
    return ProblemDetails(
        type=f"urn:astrolabe:problem:{problem.slug}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail,
        errors=problem.errors,
    )


def field_error(item: Mapping[str, Any], body: Any = None) -> FieldError:
    """Translate one pydantic error: the path as the caller wrote it, the value cut to a readable length."""
    location = list(item["loc"])
    if location and location[0] in {"body", "query", "path", "header", "cookie"}:
        where = location.pop(0)
        location = _path_in(body, location, missing=item["type"] == "missing") if where == "body" else location
    context = item.get("ctx") or {}
    return FieldError(
        field=".".join(str(part) for part in location) or "body",
        message=_message(item, context),
        value=None if item["type"] == "missing" else _shown(item.get("input")),
        remedy=context.get("remedy") or _remedy(item["type"], context),
    )


def _message(item: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    if item["type"] == "union_tag_not_found":
        return f"has no {context['discriminator']}"
    return str(item["msg"]).removeprefix("Value error, ")


def _remedy(kind: str, context: Mapping[str, Any]) -> str | None:
    template = _REMEDIES.get(kind)
    return template and template.format_map(context)


def _path_in(body: Any, location: Sequence[int | str], *, missing: bool) -> list[int | str]:
    """The path without the names of union members, which pydantic puts in and the body does not have.

    Of a missing field the body does not have the last part either.
    """
    path: list[int | str] = []
    for position, part in enumerate(location):
        if isinstance(body, dict) and part not in body and not (missing and position == len(location) - 1):
            continue
        if path and not isinstance(body, dict | list):
            break
        path.append(part)
        if isinstance(body, dict):
            body = body.get(part)
        elif isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
    return path


def without_credentials(text: str) -> str:
    """``text`` with the user and password of every address in it replaced: errors and batches are kept and read."""
    return _CREDENTIALS.sub("…@", text)


def _shown(value: Any) -> Any:
    """The value as the caller will recognise it: scalars as they are, no password of an address, anything long cut."""
    if value is None or isinstance(value, bool | int | float):
        return value if value is None or value == value else str(value)  # noqa: PLR0124 - NaN is not JSON
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = without_credentials(text.encode("utf-8", "replace").decode())
    return text if len(text) <= _SHOWN_VALUE_CHARACTERS else text[:_SHOWN_VALUE_CHARACTERS] + "…"
