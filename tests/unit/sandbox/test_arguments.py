from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.jail.arguments import BOX, ENVIRONMENT, GUEST, Descriptors, Layout, command_line
from sandbox.jail.interpreter import Interpreter

DESCRIPTORS = Descriptors(seccomp=11, guest=12, passwd=13, group=14, nursery=15, settings=16)


def _layout(*, prefixes: tuple[str, ...] = ("/usr",), fresh_proc: bool = True) -> Layout:
    interpreter = Interpreter(Path(prefixes[0], "bin/python3.11"), tuple(map(Path, prefixes)), (3, 11, 2))
    return Layout(
        Path("/usr/bin/bwrap"),
        interpreter,
        b"",
        fresh_proc,
        landlock=True,
        preload=(),
        tmp_bytes=111,
        shm_bytes=222,
        inodes=333,
    )


def _command(*, prefixes: tuple[str, ...] = ("/usr",), fresh_proc: bool = True) -> list[str]:
    return command_line(_layout(prefixes=prefixes, fresh_proc=fresh_proc), DESCRIPTORS)


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


def test_nothing_of_the_template_can_be_written_but_a_sized_tmp_and_it_is_closed_last() -> None:
    command = _command()
    assert {"--bind", "--dev-bind"} & set(command) == set()
    assert command.count("--tmpfs") == 1
    assert _after(command, "--size", "111")[:2] == ["--tmpfs", "/tmp"]  # noqa: S108
    closed = [index for index, word in enumerate(command) if word == "--remount-ro"]
    assert {command[index + 1] for index in closed} == {"/", "/dev"}
    assert max(index for index, word in enumerate(command) if word in {"--dir", "--ro-bind"}) < min(closed)


def test_what_jails_mount_over_is_there() -> None:
    assert _after(_command(), "--dir", BOX)


def test_only_the_prefixes_of_an_interpreter_elsewhere_are_bound_and_readable() -> None:
    assert "/opt/python" not in _command()
    elsewhere = ("/opt/venv", "/opt/python")
    for prefix in elsewhere:
        assert _after(_command(prefixes=elsewhere), "--ro-bind", prefix)[0] == prefix
        assert prefix in _layout(prefixes=elsewhere).readable()
    assert not [path for path in _layout().readable() if path.startswith("/opt")]


def test_a_fresh_proc_or_none() -> None:
    assert _after(_command(), "--proc")[0] == "/proc"
    assert "/proc" not in _command(fresh_proc=False)


def test_the_template_runs_isolated_with_its_two_channels() -> None:
    assert _command()[-6:] == ["/usr/bin/python3.11", "-I", "-B", GUEST, "15", "16"]


def test_the_environment_is_the_jails_own() -> None:
    command = _command()
    names = {command[index + 1] for index, word in enumerate(command) if word == "--setenv"}
    assert names == set(ENVIRONMENT)
