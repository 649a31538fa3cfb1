"""Run an application under uvicorn: graceful on SIGTERM, no access log of its own (ours has the request id)."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING

import uvicorn

from kit.log import get_logger
from kit.settings import stop

if TYPE_CHECKING:
    from fastapi import FastAPI

_BACKLOG = 2048
_SHUTDOWN_SECONDS = 10
_KEEP_ALIVE_SECONDS = 75
"""Longer than clients and proxies keep idle connections (httpx 5, load balancers 60): the side that sends should be the
one that closes, or a request meets the other's end."""

logger = get_logger(__name__)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight get ``10`` seconds to end."""
    # What start-up made stays: no pass of the collector, which stops every request, need look at it again.
    gc.collect()
    gc.freeze()
    listening = _listening(host, port)
    logger.info("running on http://%s:%d", *listening.getsockname()[:2])
    uvicorn.Server(_config(app)).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address; start-up stops where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        stop(f"cannot listen on {host}:{port}: {reason}; set another host or port, or end what listens there")


async def serve_on(app: FastAPI, listening: socket.socket) -> None:
    """Serve on a socket that listens, until cancelled. Signals are taken on the main thread only."""
    await uvicorn.Server(_config(app)).serve(sockets=[listening])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
