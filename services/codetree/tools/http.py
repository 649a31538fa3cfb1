"""Tools that the host calls for a program: an allow-listed URL, with a signature from its JSON Schema.

The program gets a function; the sandbox service makes the call. Neither keys nor the network enter the jail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from codetree.engine.values import Endpoint, Function, Tool
from kit.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

_TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "array": "list", "object": "dict"}
_PORTS = {"http": 80, "https": 443}


class ToolUrlError(ValueError):
    """The URL is not one that tools may have."""


def http_tool(name: str, description: str, endpoint: Endpoint) -> Tool:
    """The tool with the function that programs see."""
    function = Function(f"def {name}({_parameters(endpoint.parameters)})", description)
    return Tool(name, description, "", (function,), endpoint)


def check_url(url: str, allowed: Sequence[str], *, allow_loopback: bool) -> None:
    """Refuse a URL whose origin the operator did not allow. Raises ``ToolUrlError``.

    Origins are compared as scheme, host and port; names are not resolved, so that no answer of a name server matters.
    """
    try:
        origin = _origin(url)
        parts = urlsplit(url)
    except ValueError as error:
        raise ToolUrlError("is not a URL") from error
    if origin is None or parts.username is not None or parts.password is not None:
        raise ToolUrlError("must start with http:// or https://, name a host, and hold no user or password")
    if origin in {_origin(each) for each in allowed} or (allow_loopback and is_loopback(origin[1])):
        return
    raise ToolUrlError(f"has an origin that tools may not call; allowed are: {', '.join(allowed) or 'none'}")


def _origin(url: str) -> tuple[str, str, int] | None:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


def _parameters(schema: Mapping[str, JsonValue]) -> str:
    """``query: str, limit: int = None``, in the schema's order, what must be given first."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return ""
    needed = required if isinstance(required, list) else []
    shown = [_parameter(name, of, optional=name not in needed) for name, of in properties.items()]
    return ", ".join(shown)


def _parameter(name: str, of: JsonValue, *, optional: bool) -> str:
    kind = of.get("type") if isinstance(of, dict) else None
    hint = _TYPES.get(kind, "object") if isinstance(kind, str) else "object"
    return f"{name}: {hint} | None = None" if optional else f"{name}: {hint}"
