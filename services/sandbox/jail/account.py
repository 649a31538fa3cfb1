"""The unprivileged account a jail starts under: started by real root it could write root's sysctls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypedDict


class PopenAccount(TypedDict, total=False):
    """The arguments of :class:`subprocess.Popen` that change the account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """A real uid and gid, and whether a process must change to them."""

    uid: int
    gid: int
    change: bool

    def popen_arguments(self) -> PopenAccount:
        """What to give :class:`subprocess.Popen`, so that the change is done before the first program is executed."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.change else {}


def jail_account(unprivileged_uid: int) -> Account:
    """The service's own account, or ``unprivileged_uid`` when the service runs as root."""
    if 0 in (os.getuid(), os.geteuid()):
        return Account(unprivileged_uid, unprivileged_uid, change=True)
    return Account(os.getuid(), os.getgid(), change=False)
