"""A small application behind the gate that every service with jobs has."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import httpx
import redis.asyncio as redis
from fastapi import APIRouter, Depends, FastAPI
from starlette.middleware import Middleware

from kit.auth import Principal
from kit.db import make_async_engine
from kit.gate import GateMiddleware
from kit.rates import RateLimiter
from kit.settings import RateSettings, Settings
from kit.web import create_app
from kit.web.caller import require

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def gated_app(
    database_url: str, redis_url: str, *, anonymous_is_local: bool = False, **rates: str
) -> AsyncIterator[FastAPI]:
    """Its one endpoint wants the scope ``plans:read`` and says whose key it was."""
    router = APIRouter()

    @router.get("/owner")
    async def owner(caller: Annotated[Principal, Depends(require("plans:read"))]) -> str:
        return caller.owner

    engine = make_async_engine(database_url)
    client = redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
    gate = Middleware(
        GateMiddleware,
        engine=engine,
        limiter=RateLimiter(client, "gated"),
        rates=RateSettings(database_url=database_url, **rates),  # type: ignore[arg-type]
        anonymous_is_local=anonymous_is_local,
    )
    app = create_app(
        service="gated", title="Gated", settings=Settings(), routers=[router], readiness={}, middlewares=[gate]
    )
    try:
        yield app
    finally:
        await client.aclose()
        await engine.dispose()


async def ask(app: FastAPI, key: str | None, path: str = "/owner", address: str = "192.0.2.1") -> httpx.Response:
    """One request, with or without a key."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    transport = httpx.ASGITransport(app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gated") as client:
        return await client.get(path, headers=headers)
