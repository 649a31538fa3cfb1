from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.security.kit.guarded import LLM_KEY, SANDBOX_TOKEN, Guarded
from tests.support.llm_server import llm_server, program, says
from tests.support.stack import running_stack


@pytest.fixture(scope="session")
def guarded(stack_database_url: str, stack_redis_url: str) -> Iterator[Guarded]:
    """The whole stack as in production, where every request needs a key, saying all that it logs."""
    with (
        llm_server(lambda _: says(program("final_answer(42)"))) as model,
        running_stack(
            stack_database_url,
            stack_redis_url,
            ASTROLABE_PROFILE="production",
            ASTROLABE_LOG_LEVEL="DEBUG",
            ASTROLABE_SANDBOX_TOKEN=SANDBOX_TOKEN,
            ASTROLABE_LLM_BASE_URL=f"{model.url}/v1",
            ASTROLABE_LLM_MODEL="scripted",
            ASTROLABE_LLM_API_KEY=LLM_KEY,
        ) as stack,
    ):
        guarded = Guarded(stack, stack_database_url)
        yield guarded
        guarded.engine.dispose()
