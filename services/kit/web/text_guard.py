"""Refuse what JSON can say and a database cannot keep: NUL characters, lone surrogates, numbers that are not finite."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from kit.problems import FieldError, invalid_request

if TYPE_CHECKING:
    from collections.abc import Iterator


_SHOWN_FIELDS = 20


async def refuse_unstorable_text(request: Request) -> None:
    """A dependency of every route: raises the 422 that names the first fields holding such a value."""
    if b"%00" in request.scope.get("raw_path", b"") or b"%00" in request.scope["query_string"]:
        raise invalid_request([_error("url", "\0", "contains a NUL character")])
    if "json" not in request.headers.get("content-type", "") or not await request.body():
        return
    if errors := unstorable_fields(await request.json()):
        raise invalid_request(errors)


def unstorable_fields(value: Any) -> list[FieldError]:
    """The first fields of a JSON value that a database cannot keep."""
    if _is_storable(value):
        return []
    return [_error(path, item, fault) for path, item, fault in islice(_faults(value, ""), _SHOWN_FIELDS)]


def _is_storable(value: Any) -> bool:
    """Whether nothing is wrong, as is usual: told without saying where anything is, at a tenth of the time."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _text_fault(item):
                return False
        elif isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, float) and not math.isfinite(item):
            return False
    return True


def _faults(value: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    if isinstance(value, str):
        if fault := _text_fault(value):
            yield path, value, fault
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, str(value), "is not a finite number"
    elif isinstance(value, dict):
        for key, item in value.items():
            if fault := _text_fault(key):
                yield _join(path, key), key, f"has a key that {fault}"
            yield from _faults(item, _join(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, _join(path, str(index)))


def _join(path: str, part: str) -> str:
    return f"{path}.{part}" if path else part


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "contains half of a surrogate pair"
    return None


def _error(path: str, value: Any, fault: str) -> FieldError:
    shown = value.encode("unicode_escape").decode()[:80] if isinstance(value, str) else value
    field = path.encode("unicode_escape").decode() or "body"
    return FieldError(field=field, message=fault, value=shown, remedy="remove it")
