from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from sandbox.jail.cgroup import CGroups, open_cgroups
from sandbox.jail.counted import Counted
from sandbox.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(1, 1, 1 << 26, 10, 1, 4096)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    return folder


def _describe(proc: Path, groups: str, mounts: str) -> None:
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text(mounts)


def test_version_1_has_a_folder_in_each_tree(tmp_path: Path, proc: Path) -> None:
    groups, mounts = "", ""
    for number, name in enumerate(["memory", "pids", "cpuacct"], 1):
        (tmp_path / name / "box").mkdir(parents=True)
        groups += f"{number}:{name}:/outer/box\n"
        mounts += f"3{number} 1 0:3{number} /outer {tmp_path / name} rw - cgroup cgroup rw,{name}\n"
    _describe(proc, groups, mounts)
    opened = open_cgroups(proc)
    assert isinstance(opened, CGroups)
    assert opened.version == "cgroup-v1"
    assert len(list(tmp_path.glob("*/box/astrolabe-sandbox.*"))) == 3
    opened.close()
    assert list(tmp_path.glob("*/box/*")) == []


def test_version_2_moves_the_service_aside(tmp_path: Path, proc: Path) -> None:
    base = tmp_path / "unified"
    base.mkdir()
    (base / "cgroup.controllers").write_text("cpu memory pids\n")
    _describe(proc, "0::/\n", f"31 1 0:31 / {base} rw - cgroup2 cgroup2 rw\n")
    opened = open_cgroups(proc)
    assert isinstance(opened, CGroups)
    assert opened.version == "cgroup-v2"
    assert (base / "service" / "cgroup.procs").read_text()
    assert (base / "cgroup.subtree_control").read_text() == "+memory +pids"


def test_without_controllers_it_says_which_are_missing(tmp_path: Path, proc: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("hugetlb\n")
    _describe(proc, "0::/\n", f"31 1 0:31 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    said = open_cgroups(proc)
    assert isinstance(said, str)
    assert "memory and pids" in said


def test_version_2_counts(tmp_path: Path) -> None:
    group = CGroups("cgroup-v2", {"memory": tmp_path, "pids": tmp_path}).hold(7, LIMITS)
    folder = tmp_path / "run-1"
    assert (folder / "memory.max").read_text() == str(1 << 26)
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == "11"
    assert (folder / "cgroup.procs").read_text() == "7"
    (folder / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    (folder / "memory.peak").write_text("4096\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 0\n")
    assert group.counted() == Counted(1, 4096, 1.5)


def test_a_waiting_jails_limits_are_set_when_its_run_comes(tmp_path: Path) -> None:
    group = CGroups("cgroup-v2", {"memory": tmp_path, "pids": tmp_path}).hold(7, LIMITS)
    group.set_limits(dataclasses.replace(LIMITS, memory_bytes=1 << 27, processes=3))
    assert (tmp_path / "run-1" / "memory.max").read_text() == str(1 << 27)
    assert (tmp_path / "run-1" / "pids.max").read_text() == "4"


def test_a_group_still_busy_is_removed_with_a_later_one(tmp_path: Path) -> None:
    groups = CGroups("cgroup-v2", {"memory": tmp_path, "pids": tmp_path})
    group = groups.hold(7, LIMITS)
    group.remove()  # ordinary files in an ordinary folder: not empty
    assert (tmp_path / "run-1").exists()
    for file in (tmp_path / "run-1").iterdir():
        file.unlink()
    groups.discard(set())
    assert not (tmp_path / "run-1").exists()
