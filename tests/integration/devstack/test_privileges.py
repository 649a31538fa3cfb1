"""Root and non-root: who runs the stores, where their programs and data may lie, and whose permissions stay as they are."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from tests.support.launcher import CHECKOUT, NOBODY, clean_environment, launched_stores

from devstack.errors import DevstackError
from devstack.stores import binaries
from devstack.stores.account import ACCOUNT_NAME, Account, store_account
from devstack.stores.binaries import POSTGRES, Wheel, programs_for
from devstack.stores.folder import SHARED_PLACE, choose_folder

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="concerns a launcher started by root")


def modes(path: Path) -> dict[Path, int]:
    return {folder: stat.S_IMODE(folder.stat().st_mode) for folder in (path, *path.parents)}


@pytest.fixture
def private(place: Path) -> Path:
    """A folder nobody else may enter, as /root is."""
    path = place / "private"
    path.mkdir(0o700)
    return path


@pytest.fixture
def account() -> Account:
    found = store_account(lambda _message: None)
    assert found is not None
    return found


@as_root
def test_stores_of_root_run_as_the_dedicated_user(place: Path) -> None:
    with launched_stores("--data-dir", place / "data", "--ephemeral") as launcher:
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in launcher.store_pids()}
    assert owners == {pwd.getpwnam(ACCOUNT_NAME).pw_uid}


@as_root
def test_programs_below_a_private_folder_are_copied_and_the_folder_stays_private(
    private: Path, place: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = POSTGRES.site()
    for tree in POSTGRES.trees:
        shutil.copytree(site / tree, private / "site-packages" / tree, symlinks=True)
    before = modes(private / "site-packages")
    monkeypatch.setattr(Wheel, "site", lambda _self: private / "site-packages")

    programs = programs_for(POSTGRES, account, place / "cache")

    assert programs.is_relative_to(place / "cache")
    assert all(account.can_run(programs / name) for name in ("postgres", "initdb"))
    assert modes(private / "site-packages") == before
    stamp = programs.stat().st_mtime_ns, programs.stat().st_ino
    assert programs_for(POSTGRES, account, place / "cache") == programs
    assert (programs.stat().st_mtime_ns, programs.stat().st_ino) == stamp, "a second start copies nothing"


@as_root
def test_a_program_cache_another_user_could_change_is_refused(
    private: Path, place: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Wheel, "site", lambda _self: private)
    planted = place / "cache" / binaries.REDIS.cache_key()
    planted.mkdir(parents=True)
    planted.chmod(0o777)
    with pytest.raises(DevstackError, match="can be changed by another user"):
        programs_for(binaries.REDIS, account, place / "cache")


@as_root
def test_a_private_checkout_runs_with_its_data_elsewhere_and_stays_private(private: Path) -> None:
    checkout = private / "checkout"
    for part in ("tooling/devstack", "services/kit"):
        shutil.copytree(CHECKOUT / part, checkout / part)
    before = modes(checkout)
    environment = clean_environment(PYTHONPATH=f"{checkout}/tooling:{checkout}/services")
    with launched_stores(environment=environment) as launcher:
        with psycopg.connect(launcher.database_url) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        data = Path(row[0]).parents[1]
        assert data.parent == SHARED_PLACE
        assert launcher.end(signal.SIGINT) == 0
    shutil.rmtree(data)
    assert modes(checkout) == before


@as_root
def test_a_chosen_folder_that_cannot_be_reached_is_an_error_and_stays_private(private: Path, account: Account) -> None:
    with pytest.raises(DevstackError, match=f"cannot enter {private}"):
        choose_folder(private / "data", account)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


@as_root
def test_no_folder_on_the_way_changes_its_permissions(place: Path) -> None:
    parent = place / "given"
    parent.mkdir()
    parent.chmod(0o711)
    with launched_stores("--data-dir", parent / "deep" / "data"):
        assert modes(parent)[parent] == 0o711


@as_root
def test_data_made_by_another_user_is_refused(place: Path) -> None:
    (place / "data" / "redis").mkdir(parents=True)
    os.chown(place / "data" / "redis", NOBODY, NOBODY)
    refused = subprocess.run(
        [sys.executable, "-m", "devstack", "stores", "--data-dir", place / "data"],
        env=clean_environment(COLUMNS="400"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert f"belongs to user {NOBODY}" in refused.stderr


@as_root
def test_a_launcher_that_is_not_root_runs_the_stores_as_itself(place: Path) -> None:
    os.chown(place, NOBODY, NOBODY)
    # The interpreter may lie below /root: reading is all that is granted on top of being nobody.
    grant = "+dac_read_search"
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    prefix += [f"--inh-caps={grant}", f"--ambient-caps={grant}"]
    with launched_stores("--data-dir", place / "data", prefix=prefix) as launcher:
        assert Path(f"/proc/{launcher.process.pid}").stat().st_uid == NOBODY
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in launcher.store_pids()} == {NOBODY}
        with psycopg.connect(launcher.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert launcher.end(signal.SIGTERM) == 0
    assert {path.stat().st_uid for path in (place / "data").iterdir()} == {NOBODY}


def test_no_lock_is_shared_between_users(place: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob(".*lock*"))
    with launched_stores("--data-dir", place / "data", "--ephemeral"):
        assert set(Path(tempfile.gettempdir()).glob(".*lock*")) == before
