"""One folder holds all a launcher keeps: data, logs, its state, and the lock that makes it the only one there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from devstack.errors import DevstackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devstack.stores.account import Account

CHECKOUT = Path(__file__).resolve().parents[3]
# Survives a reboot, unlike /tmp, and every user may enter it.
SHARED_PLACE = Path("/var/tmp")  # noqa: S108
# A status query holds the lock for microseconds, and a killed launcher's is freed a moment after it: not worth an
# error.
LOCK_SECONDS = 0.3


class DataFolder:
    """The folder, while this process holds its lock (``flock``: the kernel releases it even after ``kill -9``)."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock = -1

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    def acquire(self) -> None:
        """Make the folder if need be, and lock it. Raises DevstackError, naming the holder, when it is taken."""
        make_folder(self.path, 0o755)
        make_folder(self.logs, 0o700)
        self._lock = _open_lock(self.path / "lock")
        if not _lock_within(self._lock, LOCK_SECONDS):
            holder = _read_pid(self._lock)
            os.close(self._lock)
            raise DevstackError(
                f"{self.path} is in use by the launcher with process id {holder or 'unknown'}; stop it (Ctrl-C there, "
                f"or: kill {holder or 'PID'}), or set ASTROLABE_DATA_DIR to another folder"
            )
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Forget the state and let the next launcher in."""
        self.state_file.unlink(missing_ok=True)
        os.ftruncate(self._lock, 0)
        os.close(self._lock)

    def write_state(self, state: Mapping[str, object]) -> None:
        """Publish addresses for other processes; readable by the owner only, because addresses carry passwords."""
        draft = self.state_file.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            json.dump(state, output, indent=2)
        draft.replace(self.state_file)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def holder_of(path: Path) -> int | None:
    """The process id of the launcher that holds the folder at ``path`` now."""
    with suppress(FileNotFoundError):
        lock = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read_pid(lock)
        finally:
            os.close(lock)
    return None


def read_state(path: Path) -> dict[str, object]:
    """What the launcher of the folder at ``path`` published; empty when there is none."""
    try:
        state = json.loads((path / "state.json").read_text())
    except FileNotFoundError:
        return {}
    return dict(state)


def make_folder(path: Path, mode: int) -> None:
    """Make ``path`` with ``mode`` whatever the umask; a folder that is there already keeps its permissions."""
    if not path.parent.exists():
        make_folder(path.parent, 0o755)
    with suppress(FileExistsError):
        path.mkdir(0o700)
        path.chmod(mode)


def choose_folder(wanted: Path | None, account: Account | None) -> Path:
    """``wanted``, or ``.local`` in the checkout, or a folder below /var/tmp when the store user cannot reach that.

    Raises DevstackError when ``wanted`` was asked for and cannot be reached: nothing is ever opened up to make it so.
    """
    path = (wanted or CHECKOUT / ".local").absolute()
    if account is None:
        return path
    blocked = account.first_unreachable(_nearest_existing(path))
    if blocked is None:
        return path
    if wanted is not None:
        raise DevstackError(
            f"the store user cannot enter {blocked}, on the way to ASTROLABE_DATA_DIR={wanted}; choose a folder every "
            "user can reach, for instance below /var/tmp"
        )
    digest = hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]
    return _private_place(SHARED_PLACE / f"astrolabe-{os.geteuid()}-{digest}")


def _private_place(path: Path) -> Path:
    """A predictable name in a world-writable folder: accept it only when it is ours."""
    make_folder(path, 0o755)
    status = path.lstat()
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not ours or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DevstackError(f"{path} belongs to somebody else; remove it or set ASTROLABE_DATA_DIR to another folder")
    return path


def _nearest_existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        raise DevstackError(
            f"{path} belongs to user {path.stat().st_uid}; start as that user, or set ASTROLABE_DATA_DIR to another "
            "folder"
        ) from error


def _lock_within(lock: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _read_pid(lock: int) -> int | None:
    text = os.pread(lock, 32, 0).decode()
    return int(text) if text.isdigit() else None
