"""Starts jails: everything about confinement that is settled once, when the service starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.jail.arguments import NAMESPACES
from sandbox.jail.process import JailProcess

if TYPE_CHECKING:
    from sandbox.jail.account import Account
    from sandbox.jail.arguments import Layout
    from sandbox.jail.cgroup import CGroups
    from sandbox.limits import Limits


@dataclass(frozen=True, slots=True)
class Jailer:
    """What every jail of this service is made with. ``cgroups`` is None where only rlimits hold memory."""

    layout: Layout
    account: Account
    seccomp: bytes
    cgroups: CGroups | None
    bubblewrap_version: str
    result_bytes: int
    start_seconds: float

    def start(self, limits: Limits) -> JailProcess:
        """Start a jail and return at once; :meth:`JailProcess.ready` waits for it. On the event loop's thread only."""
        return JailProcess(
            self.layout,
            self.account,
            self.seccomp,
            disk_bytes=limits.disk_bytes,
            output_bytes=limits.output_bytes,
            result_bytes=self.result_bytes + 2,  # its letter and its line's end
        )

    def describe(self) -> dict[str, object]:
        """What confines a run, as answered to the caller."""
        counted = self.cgroups.version if self.cgroups else "rlimit"
        return {
            "backend": "bubblewrap",
            "backend_version": self.bubblewrap_version,
            "namespaces": list(NAMESPACES),
            "host_uid": self.account.uid,
            "seccomp": True,
            "network": "none",
            "proc": "fresh" if self.layout.fresh_proc else "none",
            "memory": counted,
            "processes": counted,
            "python": ".".join(map(str, self.layout.interpreter.version)),
        }
