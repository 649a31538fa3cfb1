from __future__ import annotations

import pytest

from devstack import host
from devstack.errors import DevstackError


class Machine:
    """A machine with some programs, where some commands succeed."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *programs: str, root: bool, working: tuple[str, ...] = ()
    ) -> None:
        self.ran: list[str] = []
        self._working = working
        monkeypatch.setattr("devstack.host.shutil.which", lambda name: name if name in programs else None)
        monkeypatch.setattr("devstack.host.os.geteuid", lambda: 0 if root else 1000)
        monkeypatch.setattr("devstack.host._succeeds", self._run)

    def _run(self, command: list[str]) -> bool:
        self.ran.append(" ".join(command))
        return any(self.ran[-1].startswith(word) for word in self._working)


def test_nothing_is_installed_where_bubblewrap_is(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "bwrap", "apt-get", root=True)
    host.ensure_bubblewrap(pytest.fail)
    assert machine.ran == []


def test_root_installs_it_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "apt-get", root=True, working=("apt-get install",))
    said: list[str] = []
    host.ensure_bubblewrap(said.append)
    assert machine.ran == ["apt-get install --yes --no-install-recommends bubblewrap"]
    assert machine.ran[0] in said[0]


def test_sudo_without_a_password_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "apt-get", "sudo", root=False, working=("sudo -n",))
    host.ensure_bubblewrap(lambda _message: None)
    assert machine.ran[-1].startswith("sudo -n apt-get install")


@pytest.mark.parametrize("programs", [("apt-get",), ("apt-get", "sudo"), ("sudo",)])
def test_without_the_right_to_install_the_command_is_named(
    monkeypatch: pytest.MonkeyPatch, programs: tuple[str, ...]
) -> None:
    machine = Machine(monkeypatch, *programs, root=False)
    with pytest.raises(DevstackError, match="sudo apt-get install bubblewrap"):
        host.ensure_bubblewrap(pytest.fail)
    assert not any("install" in command for command in machine.ran)


def test_missing_package_lists_are_fetched_before_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, "apt-get", root=True, working=("apt-get update",))
    with pytest.raises(DevstackError, match="apt-get update && sudo apt-get install"):
        host.ensure_bubblewrap(lambda _message: None)
    assert [command.split()[1] for command in machine.ran] == ["install", "update", "install"]
