"""Rates of keys and addresses, counted in the real Redis, and let be while it is away."""

from __future__ import annotations

import re

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine
from tests.support.gated import ask, gated_app

from kit.auth import KeyLimits, create_key
from kit.db import transaction
from kit.settings import RateSettings


def key_of(engine: Engine, rate: str | None = None) -> str:
    with transaction(engine) as session:
        return create_key(session, "ann", ["plans:read"], limits=KeyLimits(rate=rate))


async def test_every_answer_says_how_the_key_stands(engine: Engine, database_url: str, redis_url: str) -> None:
    key = key_of(engine, "5/day")
    async with gated_app(database_url, redis_url) as app:
        answers = [await ask(app, key, path) for path in ("/owner", "/nothing", "/owner")]
    assert [answer.status_code for answer in answers] == [200, 404, 200]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"key";q=5;w=86400'}
    left = [re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["RateLimit"]) for answer in answers]
    assert [int(match[1]) for match in left if match] == [4, 3, 2]
    assert all(match and 1 <= int(match[2]) <= 86400 for match in left)


async def test_one_too_many_is_refused_and_told_when_to_come_back(
    engine: Engine, database_url: str, redis_url: str
) -> None:
    key, other = key_of(engine, "2/day"), key_of(engine)
    async with gated_app(database_url, redis_url, rate_limit="3/day") as app:
        answers = [await ask(app, key) for _ in range(3)]
        others = [await ask(app, other) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.status_code for answer in others] == [200, 200, 200]
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:astrolabe:problem:rate-limited"
    assert refused.headers["X-Request-ID"] == refused.json()["request_id"]
    assert f"t={refused.headers['Retry-After']}" in refused.headers["RateLimit"]
    assert "r=0" in refused.headers["RateLimit"]


async def test_without_a_valid_key_the_address_is_counted(database_url: str, redis_url: str) -> None:
    async with gated_app(database_url, redis_url, rate_limit_without_key="2/day") as app:
        guesses = [await ask(app, f"astro_0000000{n}_x", address="192.0.2.7") for n in range(3)]
        elsewhere = await ask(app, None, address="192.0.2.8")
    assert [answer.status_code for answer in guesses] == [401, 401, 429]
    assert (elsewhere.status_code, elsewhere.headers["RateLimit-Policy"]) == (401, '"address";q=2;w=86400')


async def test_probes_metrics_and_the_schema_are_not_counted(database_url: str, redis_url: str) -> None:
    async with gated_app(database_url, redis_url, rate_limit_without_key="1/day") as app:
        for _ in range(2):
            for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
                answer = await ask(app, None, path, address="192.0.2.9")
                assert (answer.status_code, "RateLimit" in answer.headers) == (200, False)


async def test_while_redis_is_away_requests_pass_and_are_told(engine: Engine, database_url: str) -> None:
    key = key_of(engine, "1/day")
    before = REGISTRY.get_sample_value("astrolabe_rate_limit_uncounted_total") or 0
    async with gated_app(database_url, "redis://127.0.0.1:1/0") as app:
        answers = [await ask(app, key) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert REGISTRY.get_sample_value("astrolabe_rate_limit_uncounted_total") == before + 3


@pytest.mark.parametrize("rate", ["fast", "0/second", "10", "10/fortnight", "-1/second"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="is not a rate; write one such as 100/second"):
        RateSettings(database_url="postgresql://x", rate_limit=rate)  # type: ignore[arg-type]
