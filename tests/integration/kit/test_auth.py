"""Keys: who may call what, and what a stolen database would tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, text
from tests.support.gated import ask, gated_app
from typer.testing import CliRunner

from kit import admin
from kit.auth import create_key
from kit.db import transaction


@pytest.fixture
async def app(database_url: str, redis_url: str) -> AsyncIterator[FastAPI]:
    async with gated_app(database_url, redis_url) as app:
        yield app


def key_of(engine: Engine, *scopes: str, expires_at: datetime | None = None) -> str:
    with transaction(engine) as session:
        return create_key(session, "ann", scopes, expires_at)


async def test_a_key_speaks_for_its_owner(app: FastAPI, engine: Engine) -> None:
    answer = await ask(app, key_of(engine, "plans:read"))
    assert (answer.status_code, answer.json()) == (200, "ann")


async def test_an_admin_key_may_everything(app: FastAPI, engine: Engine) -> None:
    assert (await ask(app, key_of(engine, "admin"))).status_code == 200


async def test_a_key_without_the_scope_is_refused(app: FastAPI, engine: Engine) -> None:
    answer = await ask(app, key_of(engine, "solve:read"))
    assert answer.status_code == 403
    assert "plans:read" in answer.json()["detail"]


@pytest.mark.parametrize("key", [None, "", "nonsense", "astro_00000000_x", "astro_\x27; --"])
async def test_no_key_or_a_made_up_one_is_refused(app: FastAPI, key: str | None) -> None:
    answer = await ask(app, key)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_right_prefix_with_the_wrong_secret_is_refused(app: FastAPI, engine: Engine) -> None:
    key = key_of(engine, "plans:read")
    assert (await ask(app, key[:-1] + ("A" if key[-1] != "A" else "B"))).status_code == 401


async def test_an_expired_key_is_refused(app: FastAPI, engine: Engine) -> None:
    key = key_of(engine, "plans:read", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await ask(app, key)).status_code == 401


async def test_without_a_key_only_where_that_is_allowed(database_url: str, redis_url: str) -> None:
    async with gated_app(database_url, redis_url, anonymous_is_local=True) as app:
        assert (await ask(app, None)).json() == "local"
        assert (await ask(app, "nonsense")).status_code == 401


async def test_a_key_s_life_on_the_command_line(
    app: FastAPI, engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    runner = CliRunner()
    made = runner.invoke(admin.app, ["keys", "create", "--owner", "bob", "--scope", "plans:read"])
    key = made.output.strip()
    assert (await ask(app, key)).json() == "bob"
    with engine.connect() as connection:
        stored = str(connection.execute(text("SELECT * FROM kit.api_keys")).all())
    assert key.split("_", 2)[2] not in stored
    prefix = key.split("_")[1]
    assert prefix in runner.invoke(admin.app, ["keys", "list"]).output
    assert runner.invoke(admin.app, ["keys", "revoke", prefix]).exit_code == 0
    assert (await ask(app, key)).status_code == 401


@pytest.mark.parametrize("arguments", [["create", "--owner", "bob", "--scope", "plans:burn"], ["revoke", "ffffffff"]])
def test_mistakes_on_the_command_line_are_told(
    arguments: list[str], engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del engine
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    outcome = CliRunner().invoke(admin.app, ["keys", *arguments])
    assert outcome.exit_code == 2
    assert "Traceback" not in outcome.output
