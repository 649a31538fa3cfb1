from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.jail.arguments import BOX, ENVIRONMENT, GUEST, Descriptors, Layout, command_line
from sandbox.jail.interpreter import Interpreter

DESCRIPTORS = Descriptors(seccomp=11, guest=12, passwd=13, group=14, control=15, result=16)


def _command(*, prefix: str = "/usr", fresh_proc: bool = True) -> list[str]:
    interpreter = Interpreter(Path(prefix, "bin/python3.11"), Path(prefix), (3, 11, 2))
    layout = Layout(Path("/usr/bin/bwrap"), interpreter, b"", fresh_proc, tmp_bytes=111, shm_bytes=222)
    return command_line(layout, 333, DESCRIPTORS)


def _after(command: list[str], *words: str) -> list[str]:
    """The words that follow the first place where ``words`` stand together."""
    for index in range(len(command)):
        if tuple(command[index : index + len(words)]) == words:
            return command[index + len(words) :]
    raise AssertionError(f"{words} is not in {command}")


@pytest.mark.parametrize("namespace", ["user", "pid", "ipc", "uts", "cgroup", "net"])
def test_every_namespace_is_its_own(namespace: str) -> None:
    assert f"--unshare-{namespace}" in _command()
    assert f"--unshare-{namespace}-try" not in _command()


def test_it_dies_with_the_service_without_privileges_under_the_filter() -> None:
    command = _command()
    assert {"--die-with-parent", "--new-session", "--as-pid-1", "--clearenv"} <= set(command)
    assert _after(command, "--cap-drop")[0] == "ALL"
    assert _after(command, "--seccomp")[0] == "11"


@pytest.mark.parametrize(("size", "folder"), [("111", "/tmp"), ("222", "/dev/shm"), ("333", BOX)])  # noqa: S108
def test_everything_writable_has_a_size(size: str, folder: str) -> None:
    assert _after(_command(), "--size", size)[:2] == ["--tmpfs", folder]


def test_every_tmpfs_is_sized_and_the_rest_is_closed_last() -> None:
    command = _command()
    assert command.count("--tmpfs") == command.count("--size") == 3
    assert "--bind" not in command
    assert "--dev-bind" not in command
    closed = [index for index, word in enumerate(command) if word == "--remount-ro"]
    assert {command[index + 1] for index in closed} == {"/", "/dev"}
    assert max(index for index, word in enumerate(command) if word in {"--tmpfs", "--ro-bind"}) < min(closed)


def test_only_the_prefix_of_an_interpreter_elsewhere_is_bound() -> None:
    assert "/opt/python" not in _command()
    assert _after(_command(prefix="/opt/python"), "--ro-bind", "/opt/python")[0] == "/opt/python"


def test_a_fresh_proc_or_none() -> None:
    assert _after(_command(), "--proc")[0] == "/proc"
    assert "/proc" not in _command(fresh_proc=False)


def test_the_guest_runs_isolated_with_its_two_channels() -> None:
    assert _command()[-6:] == ["/usr/bin/python3.11", "-I", "-B", GUEST, "15", "16"]


def test_the_environment_is_the_jails_own() -> None:
    command = _command()
    names = {command[index + 1] for index, word in enumerate(command) if word == "--setenv"}
    assert names == set(ENVIRONMENT)
