"""One FastAPI application, made the same way for every service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends, Response
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_fastapi_instrumentator import Instrumentator

from kit import tracing
from kit.problems import ProblemDetails
from kit.web.body_limit import BodyLimitMiddleware
from kit.web.health import Readiness, health_router
from kit.web.openapi import Examples, complete, read_examples
from kit.web.problems import install as install_problems
from kit.web.request_context import RequestContextMiddleware
from kit.web.text_guard import refuse_unstorable_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from fastapi import APIRouter, FastAPI
    from starlette.middleware import Middleware

    from kit.settings import Settings

DOCS_ASSETS = "/docs/assets"
"""What /docs shows comes from here: a cluster need not reach a CDN, nor a browser trust one."""
_METHODS = "What is read is read by GET, not HEAD. Of another method a 405 says in `Allow` which ones the path takes."
_DESCRIPTIONS = {
    400: "The body could not be read as JSON",
    401: "No valid API key was given",
    403: "The API key lacks the scope",
    413: "The body is larger than the service accepts",
    415: "The body has a media type or a Content-Encoding that is not understood",
    422: "A field is wrong: `errors` names it, its value and the remedy",
    503: "A part the service needs is away: try again after `Retry-After` seconds",
}


def problem_response(description: str) -> dict[str, Any]:
    """The OpenAPI entry of an error answer."""
    return {"description": description, "model": ProblemDetails}


def create_app(
    *,
    service: str,
    title: str,
    settings: Settings,
    routers: Sequence[APIRouter],
    readiness: Readiness,
    streaming_routers: Sequence[APIRouter] = (),
    body_limits: Mapping[str, int] | None = None,
    more_metrics: Callable[[], Awaitable[bytes]] | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    middlewares: Sequence[Middleware] = (),
    more_errors: Mapping[int | str, dict[str, Any]] | None = None,
    examples: Path | None = None,
) -> FastAPI:
    """Build the application of ``service``: its routers between the plumbing that all services share.

    ``readiness`` maps the name of each thing the service needs to a check that raises when the thing is away.
    ``more_metrics`` writes what /metrics says besides what this process counted.
    ``middlewares`` see a request first, once it has its id; ``more_errors`` is what they may answer.
    ``examples`` is the file of what its schema shows (``kit.web.openapi``).
    ``streaming_routers`` read their bodies themselves; ``body_limits`` are those of single paths, in bytes.
    """
    app = FastAPIOffline(
        title=title,
        description=_METHODS,
        version="0.1.0",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        redoc_url=None,
        static_url=DOCS_ASSETS,
        telemetry=tracing.fastapi_options(settings),
    )
    install_problems(app)
    responses: dict[int | str, dict[str, Any]] = {s: problem_response(text) for s, text in _DESCRIPTIONS.items()}
    responses |= more_errors or {}
    for router in routers:
        app.include_router(router, dependencies=[Depends(refuse_unstorable_text)], responses=responses)
    for router in streaming_routers:
        app.include_router(router, responses=responses)
    app.include_router(health_router(service, readiness))
    Instrumentator(excluded_handlers=["/metrics", "/livez", "/readyz"]).instrument(
        app, metric_namespace="astrolabe", metric_subsystem=service
    )
    _expose_metrics(app, more_metrics)
    app.add_middleware(BodyLimitMiddleware, max_body_bytes=settings.max_body_bytes, by_path=body_limits)
    for middleware in middlewares:
        app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
    app.add_middleware(RequestContextMiddleware)
    _complete_schema(app, read_examples(examples) if examples else {})
    return app


def _expose_metrics(app: FastAPI, more: Callable[[], Awaitable[bytes]] | None) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        own = generate_latest(REGISTRY)
        return Response(own + (await more() if more else b""), media_type=CONTENT_TYPE_LATEST)


def _complete_schema(app: FastAPI, examples: Examples) -> None:
    generate = app.openapi
    completed: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not completed:
            completed.update(complete(generate(), examples))
        return completed

    # Replacing the method is FastAPI's documented way to extend the schema.
    app.openapi = openapi  # type: ignore[method-assign]
