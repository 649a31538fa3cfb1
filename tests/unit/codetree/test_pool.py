from __future__ import annotations

import pytest
from tests.support.models import named, open_pool

from codetree.assemble import build_spec
from codetree.engine import CallKey, LLMCall, LLMError, LLMErrorKind, Message, Price
from codetree.llm import PoolError, Providers, load_recording, resolve_models
from codetree.schemas import SolveRequest
from codetree.settings import CodetreeSettings

ENDPOINT = {"llm_base_url": "http://127.0.0.1:9/v1", "llm_model": "m"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CodetreeSettings.model_fields:
        monkeypatch.delenv(f"ASTROLABE_{name.upper()}", raising=False)


def settings(**given: object) -> CodetreeSettings:
    return CodetreeSettings(**given)  # type: ignore[arg-type]


def test_nothing_configured_and_nothing_asked_for_says_what_to_do() -> None:
    with pytest.raises(
        PoolError, match=r"set ASTROLABE_LLM_BASE_URL and ASTROLABE_LLM_MODEL, or ASTROLABE_MODELS_FILE"
    ):
        resolve_models(named(), Providers(settings()))


def test_a_model_without_an_endpoint_says_what_to_do() -> None:
    with pytest.raises(PoolError, match="set ASTROLABE_LLM_BASE_URL"):
        resolve_models(named("gpt"), Providers(settings()))


def test_an_unknown_recording_names_those_there_are() -> None:
    with pytest.raises(PoolError, match="no recording 'demos'; there are: demo"):
        resolve_models(named("offline:demos"), Providers(settings()))


def test_variables_that_are_empty_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLABE_LLM_BASE_URL", "")
    monkeypatch.setenv("ASTROLABE_LLM_API_KEY", "")
    monkeypatch.setenv("ASTROLABE_LLM_INPUT_USD_PER_MILLION", "")
    read = settings()
    assert (read.llm_base_url, read.llm_api_key, read.llm_input_usd_per_million) == (None, None, None)


async def test_the_configured_model_is_the_default_and_the_only_one_with_a_price() -> None:
    priced = settings(**ENDPOINT, llm_input_usd_per_million=1.0, llm_output_usd_per_million=2.0)
    async with open_pool(named(), priced) as pool:
        assert [(model.name, model.price) for model in pool.models] == [("m", Price(1.0, 2.0))]
    async with open_pool(named("m", "other", "m"), priced) as pool:
        assert [(model.name, model.price) for model in pool.models] == [("m", Price(1.0, 2.0)), ("other", None)]


async def test_a_money_limit_without_a_price_names_the_field_and_the_variables() -> None:
    request = SolveRequest.model_validate({"task": "t", "limits": {"money_usd": 1.0}})
    async with open_pool(named(), settings(**ENDPOINT)) as pool:
        with pytest.raises(PoolError, match="no price is known for m; set ASTROLABE_LLM_INPUT_USD") as caught:
            build_spec(request, pool, settings(**ENDPOINT))
    assert caught.value.field == "limits.money_usd"


async def test_a_recording_answers_no_task_but_its_own() -> None:
    request = SolveRequest.model_validate({"task": "Another task", "models": ["offline:demo"]})
    async with open_pool(request.weighted_models, settings()) as pool:
        with pytest.raises(PoolError, match="'demo' answers its own task") as caught:
            build_spec(request, pool, settings())
    assert caught.value.field == "task"


async def test_a_recording_has_no_reply_where_none_was_recorded() -> None:
    call = LLMCall(CallKey("9.9", 1), "offline:demo", (Message("user", "?"),), 10)
    async with open_pool(named("offline:demo"), settings()) as pool:
        with pytest.raises(LLMError, match=r"recording 'demo' has no reply for node 9.9, turn 1") as caught:
            await pool.complete(call)
    assert caught.value.kind is LLMErrorKind.RECORDING_MISS


def test_the_recorded_request_is_a_request_and_says_where_its_replies_come_from() -> None:
    recording = load_recording("demo")
    request = SolveRequest.model_validate(recording.request)
    assert request.models == ["offline:demo"]
    assert "no model produced these replies" in recording.origin
