from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from fastapi import FastAPI

from kit.settings import HttpAddress, JobSettings, Origin, Settings, is_loopback, load_settings
from kit.web.server import serve

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


class Listed(Settings):
    tool_origins: tuple[Origin, ...] = ()
    service_url: HttpAddress = "http://here"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "is not an address of that kind; write one such as postgresql://"),
        ("DATABASE_URL", "", "is not an address of that kind"),
        ("REDIS_URL", "http://u:hunter2@h", "is not an address of that kind; write one such as redis://"),
        ("SERVICE_URL", "ftp://u:hunter2@h", "is not an address; write one such as http://host:8000"),
        ("SERVICE_URL", "h:80", "is not an address"),
        ("TOOL_ORIGINS", "https://h", 'is not JSON; write a list such as ["a", "b"]'),
        ("TOOL_ORIGINS", '["h"]', "is not an address"),
        ("TOOL_ORIGINS", '["https://h/path"]', "is not an origin"),
    ],
)
def test_an_address_that_is_none_stops_start_up_with_its_name_and_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, says: str
) -> None:
    set_environment(monkeypatch, **STORES | {f"ASTROLABE_{name}": value})
    with pytest.raises(SystemExit) as stopped:
        load_settings(JobSettings if name in {"DATABASE_URL", "REDIS_URL"} else Listed)
    message = capsys.readouterr().err
    assert (stopped.value.code, message.count("\n")) == (2, 1)
    assert message.startswith(f"configuration error: ASTROLABE_{name}: {says}")
    assert "hunter2" not in message


def test_an_address_that_is_taken_stops_start_up_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as stopped:
        serve(FastAPI(), "127.0.0.1", taken.getsockname()[1])
    assert stopped.value.code == 2
    assert "Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["kit", "migrate"], ["kit", "prune"], ["kit.admin", "keys", "list"]])
def test_a_command_without_its_database_says_so_in_one_line(command: list[str]) -> None:
    module, *arguments = command
    environment = os.environ | {"ASTROLABE_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/d"}
    program = [sys.executable, "-c", f"from {module if '.' in module else 'kit.cli'} import app; app()", *arguments]
    result = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert result.stderr.startswith("error: the database does not answer")
    assert "hunter2" not in result.stderr


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
