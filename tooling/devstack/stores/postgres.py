"""Postgres 18 on a data folder: scram password, loopback TCP only, fast shutdown when the launcher dies."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING, ClassVar

import psycopg

from devstack import spawn
from devstack.errors import DevstackError
from devstack.stores import survivors
from devstack.stores.daemon import STORE_ENVIRONMENT, Daemon, NotReadyError
from devstack.stores.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUPERUSER = "astrolabe"
DATABASE = "astrolabe"
MAJOR_VERSION = "18"
INITDB_SECONDS = 120.0
# For data that is thrown away: nothing survives a power cut, everything else behaves the same.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres(Daemon):
    """A cluster with one superuser and one database, both called ``astrolabe``."""

    name: ClassVar[str] = "postgres"
    program: ClassVar[str] = "postgres"
    port_taken: ClassVar[bytes] = b"Address already in use"
    dies_by: ClassVar[signal.Signals] = signal.SIGINT
    stop_escalation: ClassVar[Sequence[tuple[signal.Signals, float]]] = (
        (signal.SIGINT, 15.0),
        (signal.SIGQUIT, 5.0),
        (signal.SIGKILL, 5.0),
    )

    @property
    def working_folder(self) -> Path:
        return self.home / "cluster"

    @property
    def url(self) -> str:
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        return f"postgresql://{SUPERUSER}:{self.secret(self.home)}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        if self.home.exists():
            self._refuse_other_version()
            # Nobody uses the data (see survivors), so its lock file is stale, even if its process id is a zombie's or
            # was given to a stranger since: Postgres itself would refuse to start in both cases.
            (self.working_folder / "postmaster.pid").unlink(missing_ok=True)
        else:
            self._create_cluster()

    def _refuse_other_version(self) -> None:
        found = (self.working_folder / "PG_VERSION").read_text().strip()
        if found != MAJOR_VERSION:
            raise DevstackError(
                f"{self.home} was made by Postgres {found}, this is Postgres {MAJOR_VERSION}; dump it with the old "
                "version, or remove it to start empty"
            )

    def _create_cluster(self) -> None:
        """Create aside and rename: a creation cut short leaves nothing that looks like a cluster."""
        draft = self.home.with_name(f"{self.name}.new")
        survivors.evict(draft / "cluster", self.program)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(0o700)
        self.secret(draft)
        self.give(draft)
        initdb = spawn.spawn(
            self._initdb(draft),
            dies_by=signal.SIGTERM,
            identity=self.account,
            cwd=draft,
            env=STORE_ENVIRONMENT,
            log=self.log,
        )
        if not spawn.exited_within(initdb, INITDB_SECONDS) or initdb.returncode != 0:
            initdb.kill()
            raise DevstackError(f"initdb failed with status {initdb.wait()}; see {self.log}")
        draft.rename(self.home)

    def _initdb(self, home: Path) -> Sequence[str | Path]:
        return [
            self.programs / "initdb",
            "--pgdata", home / "cluster",
            "--username", SUPERUSER,
            "--pwfile", home / "password",
            "--auth", "scram-sha-256",
            "--encoding", "UTF8",
            # The built-in provider sorts the same on every machine, whatever locales are installed.
            "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
            *(() if self.durable else ("--no-sync",)),
        ]  # fmt: skip

    def command(self) -> Sequence[str | Path]:
        options = [
            f"listen_addresses={LOOPBACK}",
            f"port={self.port}",
            # No socket file: its path is limited to 107 bytes, and a password is asked for over TCP.
            "unix_socket_directories=",
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self.durable else NOT_DURABLE),
        ]
        return [
            self.programs / "postgres",
            "-D",
            self.working_folder,
            *(part for option in options for part in ("-c", option)),
        ]

    def probe(self) -> None:
        try:
            with psycopg.connect(
                self._url("postgres"), autocommit=True, connect_timeout=5, sslmode="disable"
            ) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if found is None:
                    connection.execute(f'CREATE DATABASE "{DATABASE}"')
        except psycopg.OperationalError as error:
            raise NotReadyError from error
