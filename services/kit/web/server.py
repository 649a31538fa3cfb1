"""Run an application under uvicorn: graceful on SIGTERM, no access log of its own (ours has the request id)."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from socket import socket

    from fastapi import FastAPI

_SHUTDOWN_SECONDS = 10
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep idle connections (httpx 5, load balancers 60): the side that sends should be the
one that closes, or a request meets the other's end."""


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight get ``10`` seconds to end."""
    # What start-up made stays: no pass of the collector, which stops every request, need look at it again.
    gc.collect()
    gc.freeze()
    uvicorn.Server(_config(app, host=host, port=port)).run()


async def serve_on(app: FastAPI, listening: socket) -> None:
    """Serve on a socket that listens, until cancelled. Signals are taken on the main thread only."""
    await uvicorn.Server(_config(app)).serve(sockets=[listening])


def _config(app: FastAPI, **where: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        **where,
    )
