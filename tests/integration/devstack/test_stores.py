from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from devstack.errors import DevstackError
from devstack.stores import Stores
from devstack.stores.ports import LOOPBACK
from devstack.stores.redis import ping
from devstack.stores.survivors import wait_for_exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devstack.stores.daemon import Daemon


@pytest.fixture
def stores(place: Path) -> Iterator[Stores]:
    with Stores(place / "data", durable=False) as running:
        yield running


def remember(url: str, value: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def remembered(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept ORDER BY value")]


def kill(daemon: Daemon | None) -> int:
    assert daemon is not None
    pid = daemon.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_for_exit(pid, 5)
    return pid


def test_a_second_start_finds_the_data_at_the_same_address(place: Path) -> None:
    with Stores(place / "data") as first:
        remember(first.database_url, 1)
        with redis.Redis.from_url(first.redis_url) as client:
            client.set("kept", "yes")
    with Stores(place / "data") as second:
        assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
        assert remembered(second.database_url) == [1]
        with redis.Redis.from_url(second.redis_url) as client:
            assert client.get("kept") == b"yes"


def test_the_state_file_is_private_and_goes_with_the_launcher(place: Path) -> None:
    with Stores(place / "data", durable=False) as stores:
        assert stores.folder.state_file.stat().st_mode & 0o777 == 0o600
    assert not stores.folder.state_file.exists()


def test_postgres_asks_for_the_password(stores: Stores) -> None:
    _, _, address = stores.database_url.partition("@")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://astrolabe:wrong@{address}")


def test_redis_keeps_what_it_is_told_and_asks_for_the_password(place: Path) -> None:
    with Stores(place / "data") as stores, redis.Redis.from_url(stores.redis_url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert stores.redis is not None
        with pytest.raises(redis.AuthenticationError):
            ping(f"redis://{LOOPBACK}:{stores.redis.port}/0")


def test_killed_stores_are_reaped_and_come_back_with_their_data(place: Path) -> None:
    with Stores(place / "data") as stores:
        address = stores.database_url
        remember(address, 7)
        pids = [kill(stores.postgres), kill(stores.redis)]
        assert sorted(stores.revive()) == ["postgres", "redis"]
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        assert stores.database_url == address
        assert remembered(address) == [7]


def test_nothing_is_revived_that_lives(stores: Stores) -> None:
    assert stores.revive() == []


def test_postgres_starts_over_the_zombie_of_its_predecessor(stores: Stores) -> None:
    killed = stores.postgres
    assert killed is not None
    pid = kill(killed)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    successor = type(killed)(stores.folder, killed.programs, killed.account, durable=False)
    successor.launch()
    try:
        successor.settle()
        assert Path(f"/proc/{pid}").exists(), "the zombie must still be there for this to show anything"
    finally:
        successor.stop()


def test_postgres_starts_although_its_old_process_id_belongs_to_another_process_now(stores: Stores) -> None:
    kill(stores.postgres)
    assert stores.postgres is not None
    assert stores.redis is not None
    lock_file = stores.postgres.working_folder / "postmaster.pid"
    _, *rest = lock_file.read_text().splitlines(keepends=True)
    lock_file.write_text("".join([f"{stores.redis.pid}\n", *rest]))
    assert stores.revive() == ["postgres"]
    assert stores.redis.pid is not None, "the stranger must be left alone"


def test_a_cluster_half_made_is_made_again(place: Path) -> None:
    half = place / "data" / "postgres.new" / "cluster"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with Stores(place / "data", durable=False) as stores:
        remember(stores.database_url, 1)
    assert not half.exists()


def test_a_port_taken_since_is_exchanged(place: Path) -> None:
    with Stores(place / "data", durable=False) as first:
        assert first.redis is not None
        port = first.redis.port
    with closing(socket.create_server((LOOPBACK, port))), Stores(place / "data", durable=False) as second:
        assert second.redis is not None
        assert second.redis.port != port


def test_a_port_lost_between_choosing_and_binding_is_exchanged(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Stores(place / "data", durable=False) as first:
        files = [daemon.port_file for daemon in first.daemons]
    with socket.socket() as one, socket.socket() as other:
        for file, taken in zip(files, (one, other), strict=True):
            taken.bind((LOOPBACK, 0))
            file.write_text(str(taken.getsockname()[1]))
        monkeypatch.setattr("devstack.stores.ports.is_free", lambda _port: True)
        with Stores(place / "data", durable=False) as second:
            lost = {one.getsockname()[1], other.getsockname()[1]}
            assert not {daemon.port for daemon in second.daemons} & lost


def test_two_folders_run_side_by_side(place: Path, stores: Stores) -> None:
    with Stores(place / "other", durable=False) as other:
        remember(stores.database_url, 1)
        remember(other.database_url, 2)
        assert (remembered(stores.database_url), remembered(other.database_url)) == ([1], [2])


def test_a_second_launcher_on_one_folder_is_refused_by_the_holders_process_id(place: Path, stores: Stores) -> None:
    with pytest.raises(DevstackError, match=f"in use by the launcher with process id {os.getpid()}"):
        Stores(place / "data").start()
    assert stores.revive() == []


def test_data_of_another_postgres_version_is_refused(place: Path) -> None:
    with Stores(place / "data", durable=False) as stores:
        assert stores.postgres is not None
        version = stores.postgres.working_folder / "PG_VERSION"
    version.write_text("16\n")
    with pytest.raises(DevstackError, match="made by Postgres 16"):
        Stores(place / "data").start()


def test_a_store_that_cannot_start_says_why_and_leaves_nothing_running(place: Path) -> None:
    with Stores(place / "data", durable=False) as stores:
        assert stores.postgres is not None
        (stores.postgres.working_folder / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    broken = Stores(place / "data", durable=False)
    with pytest.raises(DevstackError, match="no_such_setting"):
        broken.start()
    assert [daemon.pid for daemon in broken.daemons] == [None, None]


def test_given_stores_are_used_as_they_are(place: Path, stores: Stores) -> None:
    with Stores(place / "other", database_url=stores.database_url, redis_url=stores.redis_url) as other:
        assert other.daemons == []
        assert (other.database_url, other.redis_url) == (stores.database_url, stores.redis_url)


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("postgresql+psycopg://someone:hidden@127.0.0.1:1/x", "ASTROLABE_DATABASE_URL"),
        ("redis://:hidden@127.0.0.1:1/0", "ASTROLABE_REDIS_URL"),
    ],
)
def test_a_given_store_that_does_not_answer_is_named_without_its_password(place: Path, url: str, variable: str) -> None:
    is_redis = url.startswith("redis")
    stores = Stores(place / "data", redis_url=url if is_redis else None, database_url=None if is_redis else url)
    with pytest.raises(DevstackError, match=variable) as caught:
        stores.start()
    assert "hidden" not in str(caught.value)
