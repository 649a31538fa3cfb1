"""A pool of models by name, with providers of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from codetree.llm import ModelPool, Providers, resolve_models
from codetree.schemas.requests import ModelRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from codetree.settings import CodetreeSettings


def named(*names: str) -> list[ModelRequest]:
    return [ModelRequest(name=name) for name in names]


@asynccontextmanager
async def open_pool(models: Sequence[ModelRequest], settings: CodetreeSettings) -> AsyncIterator[ModelPool]:
    async with Providers(settings) as providers:
        yield resolve_models(models, providers)
