"""Answers that a caller may have already: ETag and If-None-Match (RFC 9110, section 13.1.2)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Response

IfNoneMatch = Annotated[str | None, Header(description="ETags the caller has; 304 when one still stands.")]
NOT_CHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It has not changed since `If-None-Match`"}}


def not_modified(tag: str, if_none_match: str | None) -> Response | None:
    """The 304 when one of the tags in ``if_none_match`` is ``tag``, which proxies may have weakened; else None."""
    given = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    return Response(status_code=304, headers={"ETag": tag}) if given & {tag, "*"} else None
