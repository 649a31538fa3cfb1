"""Whom the stores run as: the developer, or a system user when started by root, as whom Postgres refuses to run."""

from __future__ import annotations

import os
import pwd
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devstack.errors import DevstackError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ACCOUNT_NAME = "astrolabe-stores"
CREATE_ACCOUNT = (
    "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
    "--shell", "/usr/sbin/nologin", ACCOUNT_NAME,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """The dedicated user and its group."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def first_unreachable(self, folder: Path) -> Path | None:
        """The first folder on the way to ``folder``, itself included, that this user may not enter.

        The kernel is asked, as that user, so that access lists and mount options count too.
        """
        way = [str(part) for part in (*reversed(folder.parents), folder)]
        script = 'for folder do [ -x "$folder" ] || { printf %s "$folder"; exit 0; }; done'
        result = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *way],
            user=self.uid,
            group=self.gid,
            extra_groups=[self.gid],
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        return type(folder)(result.stdout) if result.stdout else None

    def can_run(self, program: Path) -> bool:
        """Whether this user can execute ``program``, shared libraries included."""
        try:
            result = subprocess.run(
                [program, "--version"],
                user=self.uid,
                group=self.gid,
                extra_groups=[self.gid],
                cwd="/",
                capture_output=True,
                check=False,
            )
        except PermissionError:
            return False
        return result.returncode == 0


def store_account(announce: Callable[[str], None]) -> Account | None:
    """The user for the stores; None means "as whoever started this". Creates the system user when root lacks it."""
    if os.geteuid() != 0:
        return None
    account = existing_account()
    if account is None:
        announce(f"creating the system user {ACCOUNT_NAME} for the stores (Postgres refuses to run as root)")
        account = _create()
    return account


def existing_account() -> Account | None:
    """The system user, if this is root and it has been created before."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _create() -> Account:
    message = ""
    for _ in range(20):
        result = _useradd()
        # Another launcher may create it at the same moment, or hold the lock of the password file: look again, then
        # retry.
        account = existing_account()
        if account is not None:
            return account
        message = result.stderr.strip()
        time.sleep(0.1)
    raise DevstackError(
        f"cannot create the system user {ACCOUNT_NAME}: {message}; run as root: {' '.join(CREATE_ACCOUNT)}"
    )


def _useradd() -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(CREATE_ACCOUNT, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DevstackError(
            "useradd is missing; install it (apt-get install passwd) or start as another user"
        ) from error
