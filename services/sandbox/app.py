"""The application: settings in, FastAPI out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from kit.web import create_app
from sandbox import api
from sandbox.confinement import Confinement
from sandbox.gate import Gate
from sandbox.jail.faults import CannotConfineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from sandbox.settings import SandboxSettings


def build_app(settings: SandboxSettings) -> FastAPI:
    """The sandbox service. It starts even where it cannot confine, and then refuses every run and says why."""
    confinement = Confinement(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        gate = Gate(settings.sandbox_concurrency, settings.sandbox_queue_size, settings.sandbox_queue_seconds)
        app.state.service = api.Service(settings, confinement, gate)
        with contextlib.suppress(CannotConfineError):  # logged; told to every caller and by /readyz
            await confinement.check()
        yield
        confinement.close()

    async def confines() -> object:
        return (await confinement.check()).describe()

    return create_app(
        service="sandbox",
        title="Astrolabe sandbox",
        settings=settings,
        routers=[api.router],
        readiness={"confinement": confines},
        lifespan=lifespan,
    )
