"""The link must break what it is told to break, and nothing else."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from tests.chaos.link import LOOPBACK, Link


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            self.wfile.write(line)


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Connections that are reset are part of the tests."""


@pytest.fixture
def link() -> Iterator[Link]:
    with EchoServer((LOOPBACK, 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with Link(server.server_address[1]) as link:
            yield link
        server.shutdown()


def connected(link: Link) -> socket.socket:
    connection = socket.create_connection((LOOPBACK, link.port), timeout=5)
    assert echoed(connection, b"hello\n") == b"hello\n"
    return connection


def echoed(connection: socket.socket, line: bytes) -> bytes:
    connection.sendall(line)
    return connection.recv(100)


def is_reset(connection: socket.socket) -> bool:
    try:
        return echoed(connection, b"anyone?\n") == b""
    except ConnectionError:
        return True


def test_it_carries_and_what_is_slow_is_late_both_ways(link: Link) -> None:
    with connected(link) as connection:
        with link.slow(0.1):
            started = time.monotonic()
            assert echoed(connection, b"slow\n") == b"slow\n"
            assert time.monotonic() - started >= 0.2
        assert echoed(connection, b"fast\n") == b"fast\n"


def test_a_cut_resets_connections_and_refuses_new_ones_until_it_is_mended(link: Link) -> None:
    with connected(link) as connection:
        with link.cut():
            assert is_reset(connection)
            with socket.create_connection((LOOPBACK, link.port), timeout=5) as late:
                assert is_reset(late)
        connected(link).close()


def test_half_open_connections_say_nothing_while_new_ones_work(link: Link) -> None:
    with connected(link) as connection:
        with link.half_open():
            connected(link).close()
            connection.sendall(b"lost\n")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(100)
            connection.settimeout(5)
        with pytest.raises(ConnectionError):
            connection.recv(100)
