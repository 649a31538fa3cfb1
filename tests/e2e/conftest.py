from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.support.llm_server import llm_server, program, says
from tests.support.scripted_http import ScriptedServer
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def model_server() -> Iterator[ScriptedServer]:
    with llm_server(lambda _: says(program("final_answer(42)"))) as server:
        yield server


@pytest.fixture(scope="session")
def stack(stack_database_url: str, stack_redis_url: str, model_server: ScriptedServer) -> Iterator[Stack]:
    """The whole stack, shared by the tests of one parallel worker."""
    with running_stack(
        stack_database_url,
        stack_redis_url,
        ASTROLABE_LLM_BASE_URL=f"{model_server.url}/v1",
        ASTROLABE_LLM_MODEL="scripted",
    ) as stack:
        yield stack


@pytest.fixture
def model(model_server: ScriptedServer) -> Iterator[ScriptedServer]:
    """The LLM endpoint the stack is set to, its counts at zero; a test sets ``script``."""
    model_server.reset()
    yield model_server
    model_server.script = lambda _: says(program("final_answer(42)"))


@pytest.fixture
def planner(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client("planner") as client:
        yield client


@pytest.fixture
def codetree(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client("codetree") as client:
        yield client
