"""The audit log: what is in it, when, and that no secret is."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text
from tests.support.gated import ask, gated_app
from typer.testing import CliRunner

from kit import admin, audit
from kit.audit import Actor
from kit.auth import create_key, prefix_of
from kit.db import transaction
from kit.jobs import Submission, submit


def log(engine: Engine) -> list[tuple[str, str | None, str, str, str]]:
    with transaction(engine) as session:
        found = audit.entries(session, owner=None, action=None, limit=100)
        return [(entry.owner, entry.api_key, entry.action, entry.target, entry.outcome) for entry in found]


def send(engine: Engine, spec: int, external_id: str) -> str:
    submission = Submission(
        service="toy",
        owner="ann",
        api_key="12345678",
        spec={"n": spec},
        external_id=external_id,
        max_attempts=3,
        request_id="r-1",
    )
    with transaction(engine) as session:
        return str(submit(session, submission).job.id)


def test_submissions_are_kept_with_the_key_and_the_request(engine: Engine) -> None:
    job = send(engine, 1, "run-1")
    send(engine, 1, "run-1")
    assert log(engine) == [
        ("ann", "12345678", "job.submit", f"toy job {job}", "accepted"),
        ("ann", "12345678", "job.submit", f"toy job {job}", "repeated"),
    ]
    with transaction(engine) as session:
        assert [entry.request_id for entry in audit.entries(session, owner="ann", action="job", limit=9)] == ["r-1"] * 2


def test_what_was_rolled_back_is_not_in_it(engine: Engine) -> None:
    def cut_off() -> None:
        with transaction(engine) as session:
            audit.record(session, Actor("ann"), "job.cancel", "x")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        cut_off()
    assert log(engine) == []


async def test_denied_access_is_kept_without_the_key(engine: Engine, database_url: str, redis_url: str) -> None:
    with transaction(engine) as session:
        key = create_key(session, "bob", ["solve:read"])
    guessed = key[:-4] + "AAAA"
    async with gated_app(database_url, redis_url) as app:
        statuses = [(await ask(app, given)).status_code for given in (key, guessed, "what is this", None)]
    assert statuses == [403, 401, 401, 401]
    prefix = prefix_of(key)
    assert log(engine) == [
        ("bob", prefix, "access.denied", "GET /owner", "403"),
        ("", prefix, "access.denied", "GET /owner", "401"),
        ("", None, "access.denied", "GET /owner", "401"),
        ("", None, "access.denied", "GET /owner", "401"),
    ]
    with engine.connect() as connection:
        stored = str(connection.execute(text("SELECT * FROM kit.audit")).all())
    assert key.split("_", 2)[2] not in stored
    assert guessed.split("_", 2)[2] not in stored


def test_the_command_line_keeps_what_it_does_and_shows_it(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    run = CliRunner().invoke
    key = run(admin.app, ["keys", "create", "--owner", "bob", "--scope", "plans:read"]).output.strip()
    run(admin.app, ["keys", "revoke", prefix_of(key)])
    secret = run(admin.app, ["webhooks", "secret", "--owner", "bob", "--rotate"]).output.strip()
    send(engine, 1, "run-1")
    shown = run(admin.app, ["audit", "list", "--owner", "bob"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert [line.split()[1] for line in lines] == ["key.create", "key.revoke", "webhook.rotate-secret"]
    assert f"[key {prefix_of(key)}]" in lines[0]
    assert key.split("_", 2)[2] not in shown.output
    assert secret not in shown.output
    only_keys = run(admin.app, ["audit", "list", "--action", "key", "--limit", "1"]).output
    assert "key.revoke" in only_keys
    assert "key.create" not in only_keys


@pytest.mark.parametrize(
    "limits", [["--rate", "fast"], ["--concurrency", "0"], ["--money-usd-per-day", "-1"], ["--tokens-per-day", "x"]]
)
def test_limits_that_are_none_are_refused(
    limits: list[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    command = ["keys", "create", "--owner", "bob", "--scope", "plans:read", *limits]
    outcome = CliRunner().invoke(admin.app, command)
    assert outcome.exit_code == 2
    assert limits[0] in outcome.output


def test_limits_are_kept(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLABE_DATABASE_URL", database_url)
    limits = ["--rate", "5/second", "--concurrency", "9", "--money-usd-per-day", "2.5", "--tokens-per-day", "1000"]
    CliRunner().invoke(admin.app, ["keys", "create", "--owner", "bob", "--scope", "plans:read", *limits])
    with transaction(engine) as session:
        row = session.execute(text("SELECT rate, concurrent_jobs, money_usd_per_day, tokens_per_day FROM kit.api_keys"))
        assert tuple(row.one()) == ("5/second", 9, 2.5, 1000)
