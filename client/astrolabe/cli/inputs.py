"""Read requests from files and standard input."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrolabe.cli.failures import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

STANDARD_INPUT = "-"


def read_request(source: str) -> dict[str, Any]:
    """The JSON object in the file ``source``, or in standard input for ``-``."""
    name = "standard input" if source == STANDARD_INPUT else source
    try:
        request = json.loads(_read(source, name))
    except json.JSONDecodeError as error:
        raise BadInputError(f"{name}: line {error.lineno}, column {error.colno}: {error.msg}; is it JSON?") from error
    except RecursionError as error:
        raise BadInputError(f"{name}: nested too deeply for a request.") from error
    if not isinstance(request, dict):
        raise BadInputError(f"{name}: a request is a JSON object, not {_kind(request)}.")
    return request


def request_from(source: str | None, changes: Sequence[str] | None) -> dict[str, Any]:
    """The request in ``source`` with its ``changes``; the changes alone where there is no source."""
    if source is None and not changes:
        raise BadInputError("Name a file with the request, `-` for standard input, or give its fields with --set.")
    return changed({} if source is None else read_request(source), changes or ())


def changed(request: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """``request`` with ``path=value`` changes: a dotted path, and a value in JSON or else a text."""
    request = copy.deepcopy(request)
    for change in changes:
        path, equals, text = change.partition("=")
        keys = path.split(".")
        if not (equals and all(keys)):
            raise BadInputError(f"--set {change!r}: write it as path=value, for example cluster.count=128.")
        _put(request, keys, _value(text), change)
    return request


def _put(request: dict[str, Any], keys: Sequence[str], value: object, change: str) -> None:
    *parents, last = keys
    place: Any = request
    for depth, key in enumerate(parents, 1):
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise BadInputError(f"--set {change!r}: {'.'.join(keys[:depth])} is {_kind(place)}, not an object.")
    place[last] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return text


def read_lines(source: str) -> list[bytes]:
    """The lines of NDJSON in the file ``source`` or standard input, or the elements of a JSON array as such."""
    name = "standard input" if source == STANDARD_INPUT else source
    text = _read(source, name)
    if not text.lstrip().startswith("["):
        return text.encode().split(b"\n")
    try:
        return [json.dumps(request, ensure_ascii=False).encode() for request in json.loads(text)]
    except json.JSONDecodeError as error:
        raise BadInputError(f"{name}: line {error.lineno}, column {error.colno}: {error.msg}; is it JSON?") from error
    except RecursionError as error:
        raise BadInputError(f"{name}: nested too deeply for requests.") from error


def _read(source: str, name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == STANDARD_INPUT else Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{name}: byte {error.start} is not UTF-8; save the file as UTF-8.") from error
    except OSError as error:
        raise BadInputError(f"{name}: cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise BadInputError(f"{source!r} is not a path ({error}).") from error


def _kind(value: object) -> str:
    return "an array" if isinstance(value, list) else f"{json.dumps(value)[:40]}"


def read_labels(given: Sequence[str]) -> dict[str, str]:
    """Labels from ``key=value`` arguments."""
    pairs = [label.partition("=") for label in given]
    for label, (key, equals, _) in zip(given, pairs, strict=True):
        if not (key and equals):
            raise BadInputError(f"--label {label!r}: write it as key=value.")
    return {key: value for key, _, value in pairs}
