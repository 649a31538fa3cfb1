"""Redis on a data folder: password, loopback TCP only, append-only file, nothing ever evicted."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.stores.daemon import Daemon, NotReadyError
from devstack.stores.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Enough for one per parallel test worker.
DATABASES = 64


class Redis(Daemon):
    """A Redis that keeps what it was told: it is a message broker first, and a cache second."""

    name: ClassVar[str] = "redis"
    program: ClassVar[str] = "redis-server"
    port_taken: ClassVar[bytes] = b"Address already in use"
    dies_by: ClassVar[signal.Signals] = signal.SIGTERM
    stop_escalation: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

    @property
    def working_folder(self) -> Path:
        return self.home

    @property
    def configuration(self) -> Path:
        return self.home.with_name("redis.conf")

    @property
    def url(self) -> str:
        return f"redis://:{self.secret(self.home)}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        if not self.home.exists():
            self.home.mkdir(0o700)
            self.secret(self.home)
            self.give(self.home)
        # In a file and not on the command line, where every user of the machine could read the password.
        self.configuration.touch(0o600)
        self.configuration.write_text("\n".join(self._settings()) + "\n")
        self.give(self.configuration)

    def _settings(self) -> list[str]:
        return [
            f"bind {LOOPBACK}",
            f"requirepass {self.secret(self.home)}",
            f"appendonly {'yes' if self.durable else 'no'}",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            f"databases {DATABASES}",
            "daemonize no",
        ]

    def command(self) -> Sequence[str | Path]:
        return [self.programs / "redis-server", self.configuration, "--port", str(self.port)]

    def probe(self) -> None:
        try:
            ping(self.url)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise NotReadyError from error


def ping(url: str) -> None:
    """Ask once: the client's own retries would hide for seconds that nobody is there. Raises redis.RedisError."""
    with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        client.ping()
