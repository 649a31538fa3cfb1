"""What the host must offer besides Python: bubblewrap, which confines the programs the sandbox runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from devstack.errors import DevstackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "bubblewrap")
UPDATE = ("apt-get", "update")
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


def ensure_bubblewrap(say: Callable[[str], None]) -> None:
    """Install bubblewrap when this user may, else raise DevstackError with the exact command."""
    if shutil.which("bwrap"):
        return
    prefix = _root_prefix()
    if prefix is None or shutil.which("apt-get") is None:
        raise DevstackError(
            "bubblewrap (bwrap) is missing: the sandbox confines programs with it; run: "
            "sudo apt-get install bubblewrap (or your system's package manager), then try again"
        )
    say(f"bubblewrap is missing; running: {' '.join((*prefix, *INSTALL))}")
    # A fresh image has no package lists: fetch them only when the first try says so.
    if not _succeeds([*prefix, *INSTALL]) and not (_succeeds([*prefix, *UPDATE]) and _succeeds([*prefix, *INSTALL])):
        raise DevstackError(
            "bubblewrap could not be installed; run: sudo apt-get update && sudo apt-get install bubblewrap"
        )


def _root_prefix() -> Sequence[str] | None:
    """What to put before a command to run it as root; None when that needs a password."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]):
        return ("sudo", "-n")
    return None


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, check=False).returncode == 0
