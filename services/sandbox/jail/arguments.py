"""bubblewrap's command line: all a run sees of the machine, an interpreter and its libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.jail.interpreter import Interpreter

BOX = "/box"
GUEST = "/guest.pyc"
JAIL_UID = 1000
NAMESPACES = ("user", "mount", "pid", "ipc", "uts", "cgroup", "net")
PASSWD = f"sandbox:x:{JAIL_UID}:{JAIL_UID}:sandbox:{BOX}:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
GROUP = f"sandbox:x:{JAIL_UID}:\nnogroup:x:65534:\n"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": BOX,
    "USER": "sandbox",
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONIOENCODING": "utf-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108 - the jail's own tmpfs
    # Libraries size their pools by the machine's cores, which are not the run's.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_LINKED_INTO_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What shared libraries, fonts and time zones need of /etc; nothing in it names the host or its people.
_SHARED_ETC = ("ld.so.cache", "alternatives", "fonts", "localtime")


@dataclass(frozen=True, slots=True)
class Layout:
    """What is the same for every jail of this service. Sizes are in bytes; ``guest`` is compiled."""

    bubblewrap: Path
    interpreter: Interpreter
    guest: bytes
    fresh_proc: bool
    tmp_bytes: int
    shm_bytes: int


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors bubblewrap and the guest inherit, by number: contents to read, and the guest's two channels."""

    seccomp: int
    guest: int
    passwd: int
    group: int
    control: int
    result: int


def command_line(layout: Layout, disk_bytes: int, descriptors: Descriptors) -> list[str]:
    """The whole command: confinement, file system, environment, and the guest as PID 1."""
    return [
        str(layout.bubblewrap),
        *_confinement(descriptors.seccomp),
        *_system(layout.interpreter),
        *_etc(descriptors),
        *_writable(layout, disk_bytes),
        *_environment(),
        "--",
        str(layout.interpreter.executable),
        "-I",
        "-B",
        GUEST,
        str(descriptors.control),
        str(descriptors.result),
    ]


def _confinement(seccomp: int) -> list[str]:
    return [
        *(f"--unshare-{name}" for name in NAMESPACES if name != "mount"),  # which bubblewrap always makes
        "--uid", str(JAIL_UID), "--gid", str(JAIL_UID), "--cap-drop", "ALL",
        "--die-with-parent", "--new-session",
        # The guest is PID 1: it ends every straggler, and no bubblewrap is left for the host's init to reap.
        "--as-pid-1",
        "--seccomp", str(seccomp),
    ]  # fmt: skip


def _system(interpreter: Interpreter) -> list[str]:
    arguments = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKED_INTO_USR:
        path = Path("/") / name
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    if not interpreter.prefix.is_relative_to("/usr"):
        arguments += ["--ro-bind", str(interpreter.prefix), str(interpreter.prefix)]
    return arguments


def _etc(descriptors: Descriptors) -> list[str]:
    arguments = [
        "--ro-bind-data", str(descriptors.passwd), "/etc/passwd",
        "--ro-bind-data", str(descriptors.group), "/etc/group",
        "--ro-bind-data", str(descriptors.guest), GUEST,
    ]  # fmt: skip
    for name in _SHARED_ETC:
        arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def _writable(layout: Layout, disk_bytes: int) -> list[str]:
    """Whatever can be written has a size. What bubblewrap leaves under / and /dev has none, so it is closed."""
    return [
        *(["--proc", "/proc"] if layout.fresh_proc else []),
        "--dev", "/dev",
        "--perms", "1777", "--size", str(layout.shm_bytes), "--tmpfs", "/dev/shm",  # noqa: S108
        "--perms", "1777", "--size", str(layout.tmp_bytes), "--tmpfs", "/tmp",  # noqa: S108
        "--size", str(disk_bytes), "--tmpfs", BOX,
        "--remount-ro", "/dev", "--remount-ro", "/",
        "--chdir", BOX,
    ]  # fmt: skip


def _environment() -> list[str]:
    return ["--clearenv", *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value))]
