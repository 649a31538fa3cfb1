"""What is left when the launcher goes, in every way it can go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.support.launcher import all_exit, clean_environment, launched_stores

from devstack import spawn
from devstack.stores import Stores
from devstack.stores.survivors import users_of

if TYPE_CHECKING:
    from devstack.stores.daemon import Daemon


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_ends_everything_in_order(place: Path, number: signal.Signals) -> None:
    with launched_stores("--data-dir", place / "data") as launcher:
        pids = launcher.store_pids()
        assert len(pids) >= 2
        assert launcher.end(number) == 0
        assert all_exit(pids, 0)
    assert "database system is shut down" in (place / "data" / "logs" / "postgres.log").read_text()


def test_kill_9_of_the_launcher_leaves_nothing_running_and_no_damage(place: Path) -> None:
    with launched_stores("--data-dir", place / "data") as launcher:
        pids = launcher.store_pids()
        with psycopg.connect(launcher.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
        launcher.end(signal.SIGKILL)
        assert all_exit(pids)
    assert "database system is shut down" in (place / "data" / "logs" / "postgres.log").read_text()
    with launched_stores("--data-dir", place / "data") as successor:
        assert successor.database_url == launcher.database_url
        with psycopg.connect(successor.database_url) as connection:
            assert connection.execute("SELECT sum(value) FROM kept").fetchone() == (500500,)


def test_kill_9_of_everything_at_once_loses_nothing_committed(place: Path) -> None:
    with launched_stores("--data-dir", place / "data") as launcher:
        with psycopg.connect(launcher.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
        pids = launcher.store_pids()
        # Held still, so that it neither revives a store nor, by dying, asks one to stop in order.
        launcher.process.send_signal(signal.SIGSTOP)
        for pid in pids:
            # Without its postmaster a backend ends by itself, perhaps first.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        launcher.process.kill()
        assert all_exit(pids)
        launcher.process.wait()
    with (
        launched_stores("--data-dir", place / "data") as successor,
        psycopg.connect(successor.database_url) as connection,
    ):
        assert connection.execute("SELECT value FROM kept").fetchone() == (42,)


def test_a_launcher_bound_to_another_process_ends_with_it_and_takes_its_data_along(place: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with launched_stores(
            "--data-dir", place / "data", "--until-exit-of", str(owner.pid), "--ephemeral"
        ) as launcher:
            pids = launcher.store_pids()
            owner.kill()
            owner.communicate()
            assert launcher.process.wait(20) == 0
            assert all_exit(pids, 0)
    finally:
        owner.kill()
    assert not (place / "data").exists()


def test_a_store_that_outlived_its_launcher_is_ended_before_its_data_is_used(place: Path) -> None:
    """An orphan as other launchers leave it: not tied to anything, and unknown to any state file."""
    with Stores(place / "data") as stores:
        assert stores.postgres is not None
        postgres: Daemon = stores.postgres
        command, home = postgres.command(), postgres.home
    account = postgres.account
    orphan = subprocess.Popen(
        [str(word) for word in command],
        cwd=home,
        user=account.uid if account else None,
        group=account.gid if account else None,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not users_of(postgres.working_folder, "postgres"):
            assert orphan.poll() is None
        with (
            launched_stores("--data-dir", place / "data") as launcher,
            psycopg.connect(launcher.database_url) as connection,
        ):
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert orphan.wait(5) == 0
    finally:
        orphan.kill()
        orphan.wait()


def test_a_second_launcher_fails_with_the_first_ones_process_id(place: Path) -> None:
    with launched_stores("--data-dir", place / "data", "--ephemeral") as launcher:
        second = subprocess.run(
            [sys.executable, "-m", "devstack", "stores", "--data-dir", place / "data"],
            capture_output=True,
            text=True,
            env=clean_environment(COLUMNS="400"),
            check=False,
        )
        assert second.returncode == 1
        assert f"process id {launcher.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        with psycopg.connect(launcher.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_down_stops_the_launcher_from_elsewhere(place: Path) -> None:
    with launched_stores("--data-dir", place / "data", "--ephemeral") as launcher:
        down = subprocess.run(
            [sys.executable, "-m", "devstack", "down"],
            env=clean_environment(ASTROLABE_DATA_DIR=str(place / "data")),
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(launcher.process.pid) in down.stdout
        assert launcher.process.wait(1) == 0


def test_a_tethered_command_does_not_start_under_a_parent_that_has_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = spawn.tethered(["true"], dies_by=signal.SIGTERM, parent=str(gone.pid))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "has already gone" in result.stderr


def test_a_tethered_command_has_fresh_signals_and_only_the_environment_meant_for_it() -> None:
    show = "import os, signal; print(signal.getsignal(signal.SIGINT) == signal.default_int_handler, os.environ.get('HIDE'))"
    show += "; print(os.environ['ME'] == str(os.getpid()))"
    command = spawn.tethered(
        [sys.executable, "-c", show], dies_by=signal.SIGTERM, extra=["--unset", "HIDE", "--announce", "ME"]
    )
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    # The shell replaces itself, so this process stays the parent.
    result = subprocess.run(
        [*shell, *command], capture_output=True, text=True, check=True, env=os.environ | {"HIDE": "x"}
    )
    assert result.stdout.split() == ["True", "None", "True"]
