"""The stores of a test session, seen from outside: a small session of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.launcher import CHECKOUT, all_exit, clean_environment

from devstack.offspring import descendants
from devstack.stores.folder import read_state

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN_DATA = """
import os, psycopg, pytest, redis

@pytest.mark.parametrize("number", range(4))
def test_worker_has_its_own(database_url, redis_url, number, worker_number):
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS seen (worker int)")
        connection.execute("INSERT INTO seen VALUES (%s)", [worker_number])
        assert connection.execute("SELECT DISTINCT worker FROM seen").fetchall() == [(worker_number,)]
        assert connection.execute("SELECT count(*) FROM kit.jobs").fetchone() == (0,)
    with redis.Redis.from_url(redis_url) as client:
        client.set("worker", worker_number)
        assert client.dbsize() == 1

def test_empty_database_has_no_schema(empty_database_url):
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('kit.jobs')").fetchone() == (None,)
"""
WAITS = """
import pathlib, sys, threading

def test_waits(database_url, session_stores):
    pathlib.Path(__file__).with_name("folder").write_text(str(session_stores.folder))
    threading.Event().wait()
"""


def command(source: Path, *more: str) -> Sequence[str | Path]:
    return [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "tests.support.stores", *more, source]


def environment() -> dict[str, str]:
    return clean_environment(PYTHONPATH=str(CHECKOUT), PYTEST_ADDOPTS="-p no:cacheprovider")


def test_parallel_workers_share_stores_and_not_data_and_nothing_is_left(tmp_path: Path, place: Path) -> None:
    source = tmp_path / "test_own.py"
    source.write_text(OWN_DATA)
    result = subprocess.run(
        command(source, "-n", "2"),
        cwd=CHECKOUT,
        env=environment() | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert list(place.glob("astrolabe*")) == []


def test_a_killed_session_leaves_no_store_and_no_data(tmp_path: Path) -> None:
    source = tmp_path / "test_waits.py"
    source.write_text(WAITS)
    session = subprocess.Popen(command(source), cwd=CHECKOUT, env=environment(), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        note = tmp_path / "folder"
        while not (note.exists() and note.read_text()):
            assert session.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        folder = Path(note.read_text())
        keeper = read_state(folder)["launcher_pid"]
        assert isinstance(keeper, int)
        everything = [keeper, *descendants(keeper)]
        assert len(everything) > 3
    finally:
        session.send_signal(signal.SIGKILL)
        session.wait()
    assert all_exit(everything, 20)
    assert not folder.exists()
