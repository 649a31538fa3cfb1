"""The service itself under hostile HTTP: it refuses, it stays, and it goes on serving others meanwhile."""

from __future__ import annotations

import gzip
import json
import re
import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.sandbox_service import Service, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_sandbox(ASTROLABE_MAX_BODY_BYTES=str(4 * MEBIBYTE)) as running:
        yield running


@pytest.fixture(autouse=True)
def _goes_on_serving(service: Service) -> Iterator[None]:
    yield
    assert service.run("final_answer('served')")["result"] == "served"
    deadline = time.monotonic() + 20
    while service.program_pids():
        assert time.monotonic() < deadline


def raw(service: Service, content: bytes, *, wait_seconds: float = 10) -> bytes:
    """What the service answers to these bytes, until it closes or is silent."""
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        connection.settimeout(wait_seconds)
        answer = b""
        try:
            connection.sendall(content)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            return answer
        return answer


def post(body: bytes, *headers: bytes, path: bytes = b"/executions") -> bytes:
    lines = [b"POST %s HTTP/1.1" % path, b"Host: x", b"Connection: close", b"Content-Type: application/json", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def test_a_huge_body_is_refused_before_it_is_read(service: Service) -> None:
    answer = raw(
        service, b"POST /executions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n"
    )
    assert b" 413 " in answer.splitlines()[0]


def test_a_body_without_end_in_chunks_is_cut_off(service: Service) -> None:
    chunk = b"%x\r\n%s\r\n" % (MEBIBYTE, b" " * MEBIBYTE)
    head = b"POST /executions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = resident_kib(service)
    answer = raw(service, head + chunk * 64)
    assert answer == b"" or b" 413 " in answer.splitlines()[0]  # cut off while it still sends, it may not hear why
    assert resident_kib(service) < before + 64 * 1024


@pytest.mark.parametrize("deep", [100, 1000, 100_000, 1_000_000])
@pytest.mark.parametrize("field", ["code", "files", "tools", "limits"])
def test_deep_json_is_refused(service: Service, deep: int, field: str) -> None:
    body = b'{"code": "1", "%s": %s%s}' % (field.encode(), b"[" * deep, b"]" * deep)
    status = raw(service, post(body)).splitlines()[0].split()[1]
    assert status in {b"400", b"413", b"422"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"1e999", b'{"code": 1e999}', b'{"code": "\xff"}', b'{"code": "\\ud800"}', b"\x00" * 100, b'{"code": "1", "code": "2"' * 3, b'{"limits": {"wall_seconds": NaN}, "code": "1"}', b'{"limits": {"wall_seconds": Infinity}, "code": "1"}', b'{"code": "1", "limits": {"memory_bytes": 1' + b"0" * 5000 + b"}}"],
)  # fmt: skip
@pytest.mark.parametrize("path", [b"/executions", b"/sessions", b"/run_code"])
def test_broken_bodies_are_refused(service: Service, path: bytes, body: bytes) -> None:
    status = int(raw(service, post(body, path=path)).splitlines()[0].split()[1])
    assert status < 500
    assert status >= 400 or b'"code"' in body


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "/etc/passwd", "a/../../x", "..", ".", "", "a/..", "a//../..", "x/" * 40 + "y", "n" * 300, "a\0b", "..\\..\\x/../../y"],
)  # fmt: skip
def test_paths_that_lead_out_are_refused(service: Service, path: str) -> None:
    for body in ({"code": "1", "files": [{"path": path}]}, {"code": "1", "collect": [path]}):
        assert service.client.post("/executions", json=body).status_code == 422


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/../executions",
        "/sessions/%2e%2e",
        "/sessions/" + "x" * 5000,
        "/sessions/%00",
        "/executions/../../etc/passwd",
    ],
)
def test_odd_addresses_find_nothing(service: Service, path: str) -> None:
    status = int(
        raw(service, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        .splitlines()[0]
        .split()[1]
    )
    assert status in {400, 404, 405, 422}


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"POST /executions HTTP/9.9\r\n\r\n",
        b"\xff" * 10_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
        b"GET /" + b"a" * 500_000,
    ],
)
def test_what_is_not_http_is_refused(service: Service, content: bytes) -> None:
    answer = raw(service, content, wait_seconds=3)
    assert answer == b"" or b" 4" in answer.splitlines()[0]


def test_two_lengths_are_refused(service: Service) -> None:
    answer = raw(service, post(b'{"code": "1"}', b"Content-Length: 5"))
    assert b" 400 " in answer.splitlines()[0]


def test_slow_clients_hold_up_nobody(service: Service) -> None:
    with ExitStack() as held:
        for _ in range(200):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", service.port), 10))
            connection.sendall(b"POST /executions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        started = time.monotonic()
        assert service.run("final_answer(1)")["result"] == 1
        assert time.monotonic() - started < 5


def test_headers_that_never_end_hold_up_nobody(service: Service) -> None:
    with ExitStack() as held:
        for _ in range(200):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", service.port), 10))
            connection.sendall(b"POST /executions HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert service.run("final_answer(1)")["result"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Content-Length: -1",
        b"Content-Length: 1e3",
        b"Content-Length: 5, 6",
    ],
)
def test_a_length_that_can_be_read_two_ways_smuggles_nothing(service: Service, headers: bytes) -> None:
    smuggled = b"0\r\n\r\nDELETE /sessions/x HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(
        service, b"POST /executions HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n" + smuggled, wait_seconds=3
    )
    first = answer.splitlines()[0] if answer else b" 400 "
    assert b" 4" in first
    assert answer.count(b"HTTP/1.1 ") <= 2
    assert b" 204 " not in answer


def test_a_compressed_body_is_not_unpacked(service: Service) -> None:
    bomb = gzip.compress(b'{"code": "' + b" " * (64 * MEBIBYTE) + b'"}')
    before = resident_kib(service)
    status = raw(service, post(bomb, b"Content-Encoding: gzip")).splitlines()[0].split()[1]
    assert status in {b"400", b"415", b"422"}
    assert resident_kib(service) < before + 32 * 1024


def test_requests_sent_ahead_are_answered_in_order(service: Service) -> None:
    asks = [b'{"code": "final_answer(%d)"}' % number for number in range(20)]
    heads = [
        b"POST /executions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(ask)
        for ask in asks
    ]
    heads[-1] += b"Connection: close\r\n"
    answer = raw(
        service, b"".join(head + b"\r\n" + ask for head, ask in zip(heads, asks, strict=True)), wait_seconds=30
    )
    assert [int(found) for found in re.findall(rb'"result":(\d+)', answer)] == list(range(20))


def test_clients_that_never_read_hold_up_nobody(service: Service) -> None:
    body = json.dumps({"code": "print('x' * 900_000)"}).encode()
    with ExitStack() as held:
        for _ in range(16):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", service.port), 10))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(post(body))
        assert service.run("final_answer(2)")["result"] == 2


def test_thousands_of_connections(service: Service) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    count = min(2000, min(hard, 8192) - 500)
    try:
        with ExitStack() as held:
            for _ in range(count):
                held.enter_context(socket.create_connection(("127.0.0.1", service.port), 30))
            assert service.run("final_answer(3)")["result"] == 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert count >= 500


def test_callers_that_hang_up_at_once_leave_no_run(service: Service) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
            connection.sendall(post(b'{"code": "while True: pass"}'))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer wrong",
        "Basic Y29ycmVjdA==",
        "bearer  correct2",
        "Bearer correct\u00e9",
        "Bearer " + "x" * 10_000,
    ],
)
def test_bad_tokens(guarded: Service, header: str) -> None:
    for method, path in (
        ("POST", "/executions"),
        ("POST", "/run_code"),
        ("POST", "/sessions"),
        ("GET", "/sessions"),
        ("GET", "/sessions/x"),
        ("DELETE", "/sessions/x"),
        ("POST", "/sessions/x/interrupt"),
    ):
        answer = guarded.client.request(
            method, path, json={"code": "1"}, headers={"Authorization": header.encode()} if header else {}
        )
        assert answer.status_code == 401
        assert "correct" not in answer.text.replace(header, "")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Service]:
    with running_sandbox(ASTROLABE_SANDBOX_TOKEN="correct") as running:
        yield running


@pytest.mark.parametrize("owner", ["x" * 200, "\u00e9", "a\tb"])
def test_owners_that_are_no_names(service: Service, owner: str) -> None:
    headers: dict[str, Any] = {"X-Astrolabe-Owner": owner.encode()}
    assert service.client.post("/executions", json={"code": "1"}, headers=headers).status_code == 422


def resident_kib(service: Service) -> int:
    lines = Path(f"/proc/{service.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
