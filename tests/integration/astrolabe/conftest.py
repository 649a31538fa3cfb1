from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.integration.astrolabe.scripted_service import ScriptedService
from typer.testing import CliRunner

from astrolabe import AsyncClient, Client, RetryPolicy
from astrolabe.cli import app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from typer.testing import Result

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


class Cli:
    """The command line, pointed at the scripted service."""

    def __init__(self, url: str) -> None:
        self.environment = {"ASTROLABE_PLANNER_URL": url, "ASTROLABE_CODETREE_URL": url}

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        result: Result = CliRunner().invoke(app, arguments, input=stdin, env=self.environment)
        assert "Traceback" not in result.output
        return result


@pytest.fixture
def cli(service: ScriptedService) -> Cli:
    return Cli(service.url)
