from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.astrolabe.scripted_service import ScriptedService

from astrolabe import AsyncClient, Client, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

AT_ONCE = RetryPolicy(first_seconds=0.001, longest_seconds=0.001)


@pytest.fixture
def service() -> Iterator[ScriptedService]:
    """One server that plays both services."""
    with ScriptedService() as service:
        yield service


@pytest.fixture
def client(service: ScriptedService) -> Iterator[Client]:
    with Client(planner_url=service.url, codetree_url=service.url, api_key="astro_key", retry=AT_ONCE) as client:
        yield client


@pytest.fixture
async def async_client(service: ScriptedService) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(planner_url=service.url, codetree_url=service.url, retry=AT_ONCE) as client:
        yield client
