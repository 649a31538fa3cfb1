"""The application: settings in, FastAPI out."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from kit.web import create_app
from sandbox import api, api_sessions, fusion
from sandbox.confinement import Confinement
from sandbox.gate import Gate
from sandbox.jail.faults import CannotConfineError
from sandbox.metrics import load_metrics
from sandbox.runner import Collection
from sandbox.service import Service
from sandbox.sessions import Sessions
from sandbox.tools import tool_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from fastapi import FastAPI

    from sandbox.settings import SandboxSettings


def build_app(settings: SandboxSettings) -> FastAPI:
    """The sandbox service. It starts even where it cannot confine, and then refuses every run and says why."""
    confinement = Confinement(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tool_client() as http:
            app.state.service = _service(settings, confinement, http)
            with contextlib.suppress(CannotConfineError):  # logged; told to every caller and by /readyz
                await confinement.check()
            yield
            await app.state.service.sessions.close()
            await confinement.close()

    async def confines() -> object:
        await confinement.check()
        return confinement.describe()

    async def load() -> bytes:
        return load_metrics(app.state.service)

    app = create_app(
        service="sandbox",
        title="Astrolabe sandbox",
        settings=settings,
        routers=[api.router, api_sessions.router, fusion.router],
        readiness={"confinement": confines},
        more_metrics=load,
        lifespan=lifespan,
        examples=Path(__file__).with_name("examples.json"),
    )
    return app


def _service(settings: SandboxSettings, confinement: Confinement, http: httpx.AsyncClient) -> Service:
    collection = Collection(
        settings.sandbox_collect_files, settings.sandbox_collect_bytes, settings.sandbox_collect_seconds
    )
    gate = Gate(settings.sandbox_concurrency, settings.sandbox_queue_size, settings.sandbox_queue_seconds)
    sessions = Sessions(settings.sandbox_max_sessions, collection, settings.sandbox_result_bytes)
    return Service(settings, confinement, gate, sessions, http)
