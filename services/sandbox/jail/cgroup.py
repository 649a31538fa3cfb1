"""One control group a run, where the service may make them: memory and processes held to limits, and truly counted.

Version 1 has one tree a controller, version 2 one tree for all. The service makes a folder of its own below the group
it runs in, and one group a run below that. Where it may not, :func:`open_cgroups` says so and rlimits remain.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sandbox.jail.counted import Counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.limits import Limits

Version = Literal["cgroup-v1", "cgroup-v2"]
_FILE_BYTES = 4096  # more than any of the files read here
_FOLDER = "astrolabe-sandbox"
_CONTROLLERS = ("memory", "pids", "cpuacct")


class RunGroup:
    """The group of one run: it holds PID 1 of its jail before that forks, and is removed when the jail is gone."""

    def __init__(self, groups: CGroups, folders: dict[str, Path], limits: Limits) -> None:
        self._groups = groups
        self._folders = folders
        self._limits: Limits | None = None
        self._opened: dict[Path, int] = {}
        try:
            for folder in set(folders.values()):
                folder.mkdir()
            self.set_limits(limits)
        except OSError:
            self.remove()
            raise

    def set_limits(self, limits: Limits) -> None:
        """Hold the group to ``limits`` from now on."""
        old, self._limits = self._limits, limits
        if old is not None and (old.memory_bytes, old.processes) == (limits.memory_bytes, limits.processes):
            return
        values = list(self._values(limits))
        if old is not None and limits.memory_bytes > old.memory_bytes:
            values.reverse()  # version 1 wants memory never above memory and swap
        for file, value in values:
            file.write_text(str(value))

    def hold(self, pid: int) -> None:
        """Move a process in. Blocks for a grace period of the kernel, 5 to 12 ms: not for the event loop's thread."""
        with contextlib.suppress(ProcessLookupError):  # then there is nothing to hold
            for folder in set(self._folders.values()):
                (folder / "cgroup.procs").write_text(str(pid))
        with contextlib.suppress(FileNotFoundError):
            self.counted()  # opens what the event loop will read while a caller waits

    def counted(self) -> Counted:
        """What has been used so far."""
        memory = self._folders["memory"]
        if self._groups.version == "cgroup-v2":
            cpu_seconds = self._fields(memory / "cpu.stat").get("usage_usec", 0) / 1e6
            oom_kills = self._fields(memory / "memory.events")["oom_kill"]
            return Counted(oom_kills, int(self._read(memory / "memory.peak")), cpu_seconds)
        return Counted(
            self._fields(memory / "memory.oom_control").get("oom_kill", 0),
            int(self._read(memory / "memory.max_usage_in_bytes")),
            int(self._read(self._folders["cpuacct"] / "cpuacct.usage")) / 1e9,
        )

    def remove(self) -> None:
        """Remove the group; what the kernel still calls busy is removed with a later one."""
        while self._opened:
            os.close(self._opened.popitem()[1])
        self._groups.discard(set(self._folders.values()))

    def _fields(self, file: Path) -> dict[str, int]:
        pairs = (line.split() for line in self._read(file).splitlines())
        return {name.decode(): int(value) for name, value in pairs}

    def _read(self, file: Path) -> bytes:
        """The file's content now; it is opened once."""
        if file not in self._opened:
            self._opened[file] = os.open(file, os.O_RDONLY)
        return os.pread(self._opened[file], _FILE_BYTES, 0)

    def _values(self, limits: Limits) -> Iterator[tuple[Path, int]]:
        memory, pids = self._folders["memory"], self._folders["pids"]
        yield pids / "pids.max", limits.processes + 1  # and PID 1
        if self._groups.version == "cgroup-v2":
            yield memory / "memory.max", limits.memory_bytes
            yield memory / "memory.oom.group", 1
            without_swap = memory / "memory.swap.max", 0
        else:
            yield memory / "memory.limit_in_bytes", limits.memory_bytes
            without_swap = memory / "memory.memsw.limit_in_bytes", limits.memory_bytes
        if without_swap[0].exists():  # absent where the kernel does not account for swap
            yield without_swap


class CGroups:
    """Where the service makes its runs' groups: one folder of its own a tree."""

    def __init__(self, version: Version, parents: dict[str, Path]) -> None:
        self.version = version
        self._parents = parents
        self._numbers = itertools.count(1)
        self._discarded: set[Path] = set()

    def hold(self, pid: int, limits: Limits) -> RunGroup:
        """A new group, held to ``limits``, with a process in it. Blocks as :meth:`RunGroup.hold` does."""
        name = f"run-{next(self._numbers)}"
        group = RunGroup(self, {key: parent / name for key, parent in self._parents.items()}, limits)
        try:
            group.hold(pid)
        except OSError:
            group.remove()
            raise
        return group

    def discard(self, folders: set[Path]) -> None:
        """Remove these groups, and those that could not be removed before."""
        self._discarded |= folders
        for folder in list(self._discarded):
            try:
                folder.rmdir()
            except FileNotFoundError:
                self._discarded.discard(folder)
            except OSError:
                continue
            else:
                self._discarded.discard(folder)

    def close(self) -> None:
        """Remove the service's own folders."""
        self.discard(set())
        for parent in set(self._parents.values()):
            with contextlib.suppress(OSError):
                parent.rmdir()


def open_cgroups(proc: Path = Path("/proc/self")) -> CGroups | str:
    """The groups this process may make, or why it may make none."""
    own = _own_groups(proc)
    faults = []
    for version, attempt in (("v2", _open_v2), ("v1", _open_v1)):
        try:
            return attempt(own)
        except (OSError, LookupError) as error:
            faults.append(f"{version}: {error}")
    return "; ".join(faults)


def _open_v1(own: dict[str, Path]) -> CGroups:
    if missing := [controller for controller in _CONTROLLERS if controller not in own]:
        raise LookupError(f"no {' and '.join(missing)} controller is mounted")
    parents = {controller: _make_folder(own[controller]) for controller in _CONTROLLERS}
    return CGroups("cgroup-v1", parents)


def _open_v2(own: dict[str, Path]) -> CGroups:
    """A group of version 2 holds either processes or groups: the service moves itself one down to make room."""
    if "" not in own:
        raise LookupError("not mounted")
    base = own[""]
    if missing := {"memory", "pids"} - set((base / "cgroup.controllers").read_text().split()):
        raise LookupError(f"no {' and '.join(sorted(missing))} controller")
    service = base / "service"
    service.mkdir(exist_ok=True)
    (service / "cgroup.procs").write_text(str(os.getpid()))
    (base / "cgroup.subtree_control").write_text("+memory +pids")
    parent = _make_folder(base)
    (parent / "cgroup.subtree_control").write_text("+memory +pids")
    return CGroups("cgroup-v2", dict.fromkeys(("memory", "pids"), parent))


def _make_folder(base: Path) -> Path:
    """This process's folder below ``base``; those that services no longer alive left behind are removed."""
    for left in base.glob(f"{_FOLDER}.*"):
        if not Path("/proc", left.suffix[1:]).exists():
            for group in (*left.glob("run-*"), left):
                with contextlib.suppress(OSError):
                    group.rmdir()
    folder = base / f"{_FOLDER}.{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


def _own_groups(proc: Path) -> dict[str, Path]:
    """The folder of this process's group by controller; version 2's single tree is under the empty name."""
    paths = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    groups = {}
    for line in (proc / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, mount_point = before.split(" ")[3:5]
        for controller in [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []:
            if controller in paths:
                groups[controller] = Path(mount_point, os.path.relpath(paths[controller], root))
    return groups
