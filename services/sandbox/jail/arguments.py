"""bubblewrap's command line for the template: all a jail sees of the machine, an interpreter and its libraries.

A jail is forked from the template and adds, in namespaces of its own, what can be written: see
:mod:`sandbox.guest.confine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.jail.interpreter import Interpreter

BOX = "/box"
GUEST = "/guest.zip"
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
    # Libraries size their pools by the machine's cores, which are not the run's; and a template must have one thread.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_LINKED_INTO_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What shared libraries, fonts and time zones need of /etc; nothing in it names the host or its people.
_SHARED_ETC = ("ld.so.cache", "alternatives", "fonts", "localtime")


@dataclass(frozen=True, slots=True)
class Layout:
    """What is the same for every jail of this service. Sizes are in bytes; ``guest`` is the packed archive.

    ``inodes``: files and folders each writable file system may hold. ``landlock``: use it where the kernel has it.
    """

    bubblewrap: Path
    interpreter: Interpreter
    guest: bytes
    fresh_proc: bool
    landlock: bool
    preload: tuple[str, ...]
    tmp_bytes: int
    shm_bytes: int
    inodes: int

    def readable(self) -> list[str]:
        """What programs may read and execute; links into /usr are /usr's."""
        beside_usr = [f"/{name}" for name in _LINKED_INTO_USR if not Path("/", name).is_symlink()]
        return ["/usr", *beside_usr, *map(str, self.interpreter.outside_usr())]


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors bubblewrap and the template inherit, by number: contents to read, and where jails are asked for."""

    seccomp: int
    guest: int
    passwd: int
    group: int
    nursery: int
    settings: int


def command_line(layout: Layout, descriptors: Descriptors) -> list[str]:
    """The whole command: confinement, file system, environment, and the template as PID 1."""
    return [
        str(layout.bubblewrap),
        *_confinement(descriptors.seccomp),
        *_system(layout.interpreter),
        *_etc(descriptors),
        *_mount_points(layout),
        *_environment(),
        "--",
        str(layout.interpreter.executable),
        "-I",
        "-B",
        GUEST,
        str(descriptors.nursery),
        str(descriptors.settings),
    ]


def _confinement(seccomp: int) -> list[str]:
    return [
        *(f"--unshare-{name}" for name in NAMESPACES if name != "mount"),  # which bubblewrap always makes
        "--uid", str(JAIL_UID), "--gid", str(JAIL_UID), "--cap-drop", "ALL",
        "--die-with-parent", "--new-session",
        # The template is PID 1: its end is the end of every jail, and no bubblewrap is left for the host to reap.
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
    for prefix in interpreter.outside_usr():
        arguments += ["--ro-bind", str(prefix), str(prefix)]
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


def _mount_points(layout: Layout) -> list[str]:
    """Where each jail mounts its own sized file systems. Here there is a /tmp alone, for what imports want to cache."""
    return [
        *(["--proc", "/proc"] if layout.fresh_proc else []),
        "--dev", "/dev",
        "--perms", "1777", "--size", str(layout.tmp_bytes), "--tmpfs", "/tmp",  # noqa: S108
        "--dir", BOX,
        "--remount-ro", "/dev", "--remount-ro", "/",
        "--chdir", "/",
    ]  # fmt: skip


def _environment() -> list[str]:
    return ["--clearenv", *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value))]
