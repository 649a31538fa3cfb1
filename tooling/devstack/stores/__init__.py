"""Real Postgres and Redis without Docker: the ones the environment names, or our own on a data folder.

    with Stores(Path(".local")) as stores:
        print(stores.database_url, stores.redis_url)

The processes die with the one that started them, also by ``kill -9``; the data stays, and the next start picks it up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from devstack import spawn
from devstack.stores import binaries, external
from devstack.stores.account import store_account
from devstack.stores.folder import DataFolder
from devstack.stores.postgres import Postgres
from devstack.stores.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from devstack.stores.daemon import Daemon

__all__ = ["Stores"]


def _silent(_message: str) -> None:
    """Say nothing."""


class Stores:
    """Postgres and Redis for as long as the ``with`` block lasts; enter it from the main thread.

    ``database_url`` and ``redis_url`` given: that store is used as it is, and only asked whether it answers.
    ``durable=False`` is for data that is thrown away. ``hurried`` is asked during the stop; true means "at once".
    Raises DevstackError with a remedy when a store cannot be had.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        durable: bool = True,
        announce: Callable[[str], None] = _silent,
        hurried: Callable[[], bool] = spawn.never,
    ) -> None:
        self.folder = DataFolder(data_dir)
        self._given = {"database_url": database_url, "redis_url": redis_url}
        self._durable = durable
        self._announce = announce
        self._hurried = hurried
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None

    @property
    def database_url(self) -> str:
        return self._given["database_url"] or (self.postgres.url if self.postgres else "")

    @property
    def redis_url(self) -> str:
        return self._given["redis_url"] or (self.redis.url if self.redis else "")

    @property
    def daemons(self) -> list[Daemon]:
        """The stores that are processes of ours."""
        return [daemon for daemon in (self.redis, self.postgres) if daemon is not None]

    def start(self) -> None:
        """Lock the folder and bring both stores up; on any failure nothing is left running."""
        self.folder.acquire()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        external.check_database(self._given["database_url"])
        external.check_redis(self._given["redis_url"])
        self._choose_daemons()
        # Redis first: it comes up while a new Postgres cluster is still being made.
        for daemon in self.daemons:
            daemon.launch()
        for daemon in self.daemons:
            daemon.settle()
        self.publish()

    def _choose_daemons(self) -> None:
        if all(self._given.values()):
            return
        account = store_account(self._announce)
        if not self._given["redis_url"]:
            self.redis = Redis(
                self.folder, binaries.programs_for(binaries.REDIS, account), account, durable=self._durable
            )
        if not self._given["database_url"]:
            self.postgres = Postgres(
                self.folder, binaries.programs_for(binaries.POSTGRES, account), account, durable=self._durable
            )

    def publish(self, **more: object) -> None:
        """Write the state file: the addresses of the stores, who runs them, and whatever else the launcher adds."""
        state = {"launcher_pid": os.getpid(), "database_url": self.database_url, "redis_url": self.redis_url}
        self.folder.write_state(state | more)

    def revive(self) -> list[str]:
        """Reap stores that died and start them again, on the same ports where possible. Returns their names."""
        dead = [daemon for daemon in self.daemons if daemon.pid is None]
        for daemon in dead:
            daemon.launch()
        for daemon in dead:
            daemon.settle()
        return [daemon.name for daemon in dead]

    def stop(self) -> None:
        """Shut down both stores and give the folder free."""
        try:
            for daemon in self.daemons:
                daemon.stop(self._hurried)
        finally:
            self.folder.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
