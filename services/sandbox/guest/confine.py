"""What PID 1 of a jail closes around itself, before there is a job: namespaces' insides, file systems, then itself."""

from __future__ import annotations

import os

from sandbox.guest import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BOX, TMP, SHM = "/box", "/tmp", "/dev/shm"  # noqa: S108 - the jail's own file systems
JAIL_UID = 1000
# Landlock's rights on files by the ABI that brought them.
_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_ABI_REFER, _ABI_TRUNCATE, _ABI_IOCTL, _ABI_SCOPES = 2, 3, 5, 6


def enter(settings: dict[str, Any]) -> None:
    """Identity, file systems, loopback, first in line for the kernel's OOM killer."""
    proc = settings["proc_descriptor"]
    for name, content in (("setgroups", "deny"), ("uid_map", _own_map()), ("gid_map", _own_map())):
        _write_proc(proc, name, content)
    _write_proc(proc, "oom_score_adj", "1000")
    if proc is not None:
        os.close(proc)
    os.setsid()
    kernel.mount_tmpfs(TMP, "1777", settings["tmp_bytes"], settings["inodes"])
    kernel.mount_tmpfs(SHM, "1777", settings["shm_bytes"], settings["inodes"])
    kernel.mount_tmpfs(BOX, "0755", settings["disk_bytes"], settings["inodes"])
    if settings["fresh_proc"]:
        kernel.mount_proc("/proc")
    kernel.raise_loopback()


def close(settings: dict[str, Any]) -> None:
    """No way to change anything any more."""
    os.chdir(BOX)
    kernel.drop_capabilities()
    if settings["landlock"]:
        _landlock(settings["landlock"], settings["readable"])
    kernel.load_filter(settings["seccomp"])
    kernel.set_dumpable(0)


def _own_map() -> str:
    return f"{JAIL_UID} {JAIL_UID} 1"


def _write_proc(proc: int | None, name: str, content: str) -> None:
    """``proc``: a descriptor of a /proc, where the template has none mounted. It follows this process's own PID."""
    if proc is None:
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
    else:
        descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)


def _landlock(abi: int, readable: list[str]) -> None:
    """Once more, and independently of the mounts: what may be read, and the three places that may be written."""
    read = _EXECUTE | _READ | _READ_DIR
    everything = _ALL_OF_ABI_1
    for since, right in ((_ABI_REFER, _REFER), (_ABI_TRUNCATE, _TRUNCATE), (_ABI_IOCTL, _IOCTL_DEV)):
        if abi >= since:
            everything |= right
    writable = everything & ~_MAKE_DEVICES
    scopes = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if abi >= _ABI_SCOPES else 0
    allowed = [(path, read) for path in readable]
    allowed += [(path, _READ | _READ_DIR) for path in ("/proc", "/etc")]
    allowed += [("/", _READ_DIR)]  # names may be listed; none of what else lies there may be opened
    allowed += [(path, writable) for path in (BOX, TMP, SHM)]
    allowed += [("/dev", _READ | _READ_DIR | _WRITE | _TRUNCATE | _IOCTL_DEV)]
    kernel.landlock_restrict((everything, 0, scopes), allowed)
