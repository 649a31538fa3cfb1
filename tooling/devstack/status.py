"""What runs, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from devstack.stores.folder import holder_of, read_state
from devstack.supervision import part_states

if TYPE_CHECKING:
    from collections.abc import Mapping


def addresses(services: Mapping[str, str], folder: Path) -> str:
    """What a newcomer needs next: where everything is, how to watch it, how to stop it."""
    lines = [f"  {service:<10} {address}" for service, address in services.items()]
    return "\n".join(
        [
            "",
            "Astrolabe is running:",
            *lines,
            f"  logs       {folder / 'logs'}",
            f"  state      {folder / 'state.json'} (addresses of the stores, with passwords)",
            "Stop with Ctrl-C, or from elsewhere with: make down",
            "",
            "",
        ]
    )


def running(folder: Path) -> str:
    """The launcher on ``folder``, its services and the state of each part."""
    pid = holder_of(folder)
    if pid is None:
        return f"nothing runs on {folder}\n"
    state = read_state(folder)
    services = cast("dict[str, str]", state.get("addresses", {}))
    lines = [f"launcher, process {pid}, on {folder}"]
    lines += [f"  {service:<16} {address}" for service, address in services.items()]
    socket = state.get("supervisor_socket")
    if socket:
        lines += [f"  {name:<16} {word.lower()}" for name, word in _states(Path(str(socket))).items()]
    return "\n".join([*lines, ""])


def _states(socket: Path) -> dict[str, str]:
    try:
        return part_states(socket)
    except OSError:
        return {"supervisord": "not reachable"}
