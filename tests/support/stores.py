"""Real Postgres and Redis for a test session: one of each, whatever the number of parallel workers.

The first worker that needs them starts ``python -m devstack stores``, which watches the process that leads the session and
ends with it, also when that is killed, and takes its data along. Each worker has a database of its own, copied from a
template that is migrated once, and a Redis database of its own. ``ASTROLABE_DATABASE_URL`` and ``ASTROLABE_REDIS_URL`` are
used instead when set.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
import redis
from psycopg import sql

from devstack.stores.external import libpq_url
from devstack.stores.folder import holder_of, read_state
from devstack.stores.survivors import wait_for_exit

if TYPE_CHECKING:
    from collections.abc import Iterator

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
FOLDER = pytest.StashKey[Path]()
LEADER = pytest.StashKey[int]()


@dataclass(frozen=True)
class SessionStores:
    """The stores of this session, and the names this session uses in them."""

    folder: Path
    database_url: str
    redis_url: str

    @property
    def prefix(self) -> str:
        return self.folder.name.replace("-", "_")

    @property
    def template(self) -> str:
        return f"{self.prefix}_template"

    def url_of(self, database: str) -> str:
        """The address of another database on the same server."""
        head, _, tail = self.database_url.rpartition("/")
        _, question, options = tail.partition("?")
        return f"{head}/{database}{question}{options}"

    def execute(self, statement: str, **names: str) -> None:
        with psycopg.connect(libpq_url(self.database_url), autocommit=True) as connection:
            identifiers = {key: sql.Identifier(value) for key, value in names.items()}
            connection.execute(sql.SQL(statement).format(**identifiers))

    def drop(self, database: str) -> None:
        self.execute("DROP DATABASE IF EXISTS {database} WITH (FORCE)", database=database)


def pytest_configure(config: pytest.Config) -> None:
    workerinput = getattr(config, "workerinput", None)
    if workerinput is None:
        config.stash[FOLDER] = Path(tempfile.gettempdir()) / f"astrolabe-tests-{uuid4().hex[:12]}"
        config.stash[LEADER] = os.getpid()
    else:
        config.stash[FOLDER] = Path(workerinput["stores_folder"])
        config.stash[LEADER] = int(workerinput["stores_leader"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: pytest.Item) -> None:
    """Tell a parallel worker where the session's stores are."""
    node.workerinput["stores_folder"] = str(node.config.stash[FOLDER])  # type: ignore[attr-defined]
    node.workerinput["stores_leader"] = node.config.stash[LEADER]  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stores when the session's leader, which outlives all workers, ends."""
    folder = config.stash.get(FOLDER, None)
    if folder is None or config.stash[LEADER] != os.getpid() or not folder.exists():
        return
    state = read_state(folder)
    if state and os.environ.get("ASTROLABE_DATABASE_URL"):
        given = SessionStores(folder, str(state["database_url"]), str(state["redis_url"]))
        given.drop(given.template)
    keeper = holder_of(folder)
    if keeper is not None:
        os.kill(keeper, signal.SIGTERM)
        wait_for_exit(keeper, STOP_SECONDS)
        with suppress(ChildProcessError):
            os.waitpid(keeper, 0)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_stores(pytestconfig: pytest.Config) -> SessionStores:
    """The session's stores, started by whoever comes first, with a migrated template database."""
    folder = pytestconfig.stash[FOLDER]
    with _one_at_a_time(folder):
        if not read_state(folder):
            _start(folder, pytestconfig.stash[LEADER])
        state = read_state(folder)
        stores = SessionStores(folder, str(state["database_url"]), str(state["redis_url"]))
        if not (folder / "migrated").exists():
            _make_template(stores)
            (folder / "migrated").touch()
    return stores


@pytest.fixture(scope="session")
def database_url(session_stores: SessionStores, worker_number: int) -> Iterator[str]:
    """A migrated database of this worker's own, shared by its tests."""
    yield from _migrated(session_stores, f"{session_stores.prefix}_{worker_number}")


@pytest.fixture(scope="session")
def stack_database_url(session_stores: SessionStores, worker_number: int) -> Iterator[str]:
    """A migrated database for whole stacks, whose relay and workers would take other tests' jobs."""
    yield from _migrated(session_stores, f"{session_stores.prefix}_{worker_number}_stack")


def _migrated(stores: SessionStores, name: str) -> Iterator[str]:
    """A migrated database of this name, dropped in the end."""
    with _one_at_a_time(stores.folder):
        stores.execute("CREATE DATABASE {name} TEMPLATE {template}", name=name, template=stores.template)
    yield stores.url_of(name)
    stores.drop(name)


@pytest.fixture(scope="session")
def stack_redis_url(session_stores: SessionStores, worker_number: int) -> Iterator[str]:
    """A Redis database for whole stacks."""
    head, _, _ = session_stores.redis_url.rpartition("/")
    url = f"{head}/{15 - worker_number}"
    with redis.Redis.from_url(url) as client:
        yield url
        client.flushdb()


@pytest.fixture
def empty_database_url(session_stores: SessionStores) -> Iterator[str]:
    """A database without any schema, for one test."""
    name = f"{session_stores.prefix}_{uuid4().hex[:12]}"
    session_stores.execute("CREATE DATABASE {name}", name=name)
    yield session_stores.url_of(name)
    session_stores.drop(name)


@pytest.fixture(scope="session")
def redis_url(session_stores: SessionStores, worker_number: int) -> Iterator[str]:
    """A Redis database of this worker's own, shared by its tests, empty at first."""
    head, _, _ = session_stores.redis_url.rpartition("/")
    url = f"{head}/{worker_number + 1}"
    with redis.Redis.from_url(url) as client:
        # A given Redis may hold what somebody needs.
        assert client.dbsize() == 0, f"Redis database {worker_number + 1} is not empty; empty it, or use another Redis"
        yield url
        client.flushdb()


@pytest.fixture(scope="session")
def worker_number(pytestconfig: pytest.Config) -> int:
    """0, 1, 2, ... among the parallel workers."""
    workerinput = getattr(pytestconfig, "workerinput", {"workerid": "gw0"})
    return int(workerinput["workerid"].removeprefix("gw"))


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _start(folder: Path, leader: int) -> None:
    """Start the keeper, which outlives this worker, and wait until its stores answer."""
    # The stores of root run as another user, who must be able to enter.
    folder.chmod(0o755)
    command = [sys.executable, "-m", "devstack", "stores", "--ephemeral"]
    command += ["--data-dir", str(folder), "--until-exit-of", str(leader)]
    with tempfile.TemporaryFile() as output:
        streams = [(os.POSIX_SPAWN_DUP2, output.fileno(), 1), (os.POSIX_SPAWN_DUP2, output.fileno(), 2)]
        # Not a Popen: nobody in this process waits for it.
        keeper = os.posix_spawn(sys.executable, command, os.environ, file_actions=streams, setsid=True)
        deadline = time.monotonic() + READY_SECONDS
        while not read_state(folder):
            if os.waitpid(keeper, os.WNOHANG) != (0, 0) or time.monotonic() > deadline:
                pytest.exit(f"the stores for the tests did not start:\n{_text_of(output)}", returncode=3)
            time.sleep(0.02)


def _text_of(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")


def _make_template(stores: SessionStores) -> None:
    from kit.migrate import upgrade  # noqa: PLC0415 - only tests on the database pay for it

    stores.drop(stores.template)
    stores.execute("CREATE DATABASE {template}", template=stores.template)
    upgrade(stores.url_of(stores.template))
