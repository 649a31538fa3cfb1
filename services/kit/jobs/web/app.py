"""The application of a service that has jobs: database, queue, and the listener that wakes waiting requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.middleware import Middleware

from kit import db, migrate
from kit.gate import DATABASE_AWAY, GateMiddleware, database_away
from kit.jobs.web.dependencies import JobServiceState
from kit.jobs.web.following import Following
from kit.jobs.web.listener import JobListener
from kit.jobs.web.metrics import job_metrics
from kit.rates import RateLimiter
from kit.redis_client import make_async_redis
from kit.settings import is_loopback
from kit.web import create_app
from kit.web.app import problem_response
from kit.web.problems import render

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from fastapi import APIRouter
    from fastapi.responses import JSONResponse

    from kit.settings import JobSettings


def create_job_app(
    *,
    service: str,
    title: str,
    settings: JobSettings,
    host: str,
    routers: Sequence[APIRouter],
    streaming_routers: Sequence[APIRouter] = (),
    examples: Path | None = None,
) -> FastAPI:
    """The application of ``service``; it is answered without a key only on loopback in the development profile."""
    url = settings.database_url.get_secret_value()
    engine, listener = db.make_async_engine(url, settings.database_pool_size), JobListener(url)
    state = JobServiceState(
        settings=settings,
        engine=engine,
        redis=make_async_redis(settings),
        listener=listener,
        following=Following(engine, listener),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        async with state.listener:
            yield
        await state.redis.aclose()
        await state.engine.dispose()

    async def check_redis() -> None:
        await state.redis.ping()

    readiness = {
        "database": lambda: db.ping(state.engine),
        "migrations": lambda: migrate.check_is_current(state.engine),
        "redis": check_redis,
    }
    gate = Middleware(
        GateMiddleware,
        engine=state.engine,
        limiter=RateLimiter(state.redis, service),
        rates=settings,
        anonymous_is_local=settings.profile == "development" and is_loopback(host),
    )
    app = create_app(
        service=service,
        title=title,
        settings=settings,
        routers=routers,
        streaming_routers=streaming_routers,
        body_limits={"/batches": settings.batch_max_bytes},
        more_metrics=lambda: job_metrics(state.engine, service),
        readiness=readiness,
        lifespan=lifespan,
        middlewares=[gate],
        examples=examples,
        more_errors={429: problem_response("Too many requests, or a quota is used up: wait for `Retry-After` seconds")},
    )
    app.state.jobs = state
    for away in DATABASE_AWAY:
        app.add_exception_handler(away, _database_away)
    return app


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    return render(request, database_away(error, request.url.path))
