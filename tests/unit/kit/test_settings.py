from __future__ import annotations

import pytest

from kit.settings import JobSettings, is_loopback, load_settings

STORES = {"ASTROLABE_DATABASE_URL": "postgresql://u:hunter2@h/d", "ASTROLABE_REDIS_URL": "redis://h/0"}


def set_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in (*STORES, "ASTROLABE_LEASE_SECONDS", "ASTROLABE_HEARTBEAT_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_a_missing_variable_stops_start_up_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment(monkeypatch, ASTROLABE_REDIS_URL=STORES["ASTROLABE_REDIS_URL"])
    with pytest.raises(SystemExit) as stopped:
        load_settings(JobSettings)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "configuration error: ASTROLABE_DATABASE_URL is not set\n"


def test_time_limits_out_of_order_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_environment(monkeypatch, **STORES, ASTROLABE_LEASE_SECONDS="2", ASTROLABE_HEARTBEAT_SECONDS="3")
    with pytest.raises(SystemExit):
        load_settings(JobSettings)
    message = capsys.readouterr().err
    assert "heartbeat_seconds < lease_seconds" in message
    assert message.count("\n") == 1


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, **STORES)
    assert "hunter2" not in repr(load_settings(JobSettings))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.9.9.9", True),
        ("0.0.0.0", False),
        ("planner", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
