"""What both clients tell httpx."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from astrolabe.calls import Call
    from astrolabe.config import Config

_CONNECT_SECONDS = 5.0
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
"""httpx's own, but for idle connections: common servers and proxies close them after five seconds, as httpx does; a
request that meets that end has to be sent again."""
_LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")


def client_options(config: Config) -> dict[str, Any]:
    """Options of ``httpx.Client`` and ``httpx.AsyncClient``. A service on this machine is never behind a proxy."""
    headers = {"User-Agent": f"astrolabe-python/{version('astrolabe')}"}
    if config.api_key:
        headers["Authorization"] = f"Bearer {config.api_key}"
    return {"headers": headers, "mounts": dict.fromkeys(_LOOPBACK), "limits": _LIMITS}


def request_options(config: Config, call: Call) -> dict[str, Any]:
    """Options of ``request`` and ``stream`` for ``call``."""
    return {
        "method": call.method,
        "url": config.urls[call.service] + call.path,
        "params": httpx.QueryParams(list(call.params)),
        "headers": dict(call.headers),
        "json": call.body,
        "content": call.content,
        "timeout": httpx.Timeout(call.read_seconds, connect=_CONNECT_SECONDS),
    }
