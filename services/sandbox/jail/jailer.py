"""Makes jails: everything about confinement that is settled once, when the service starts, and the template."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sandbox.jail.arguments import NAMESPACES
from sandbox.jail.process import JailProcess
from sandbox.jail.template import Template

if TYPE_CHECKING:
    from sandbox.jail.account import Account
    from sandbox.jail.arguments import Layout
    from sandbox.jail.cgroup import CGroups
    from sandbox.jail.template import Filters
    from sandbox.limits import Limits

BACKEND = "bubblewrap"


class Jailer:
    """Starts jails by bubblewrap and a template. ``cgroups`` is None where only rlimits hold memory.

    A template has one layout of addresses and one seed of hashes: after ``template_jails`` forks a new one takes over,
    and the old one goes with the last of its jails.
    """

    def __init__(
        self,
        layout: Layout,
        account: Account,
        filters: Filters,
        cgroups: CGroups | None,
        *,
        bubblewrap_version: str,
        start_seconds: float,
        template_jails: int,
    ) -> None:
        self.layout = layout
        self.memory_is_counted = cgroups is not None
        self._account = account
        self._filters = filters
        self._cgroups = cgroups
        self._bubblewrap_version = bubblewrap_version
        self._start_seconds = start_seconds
        self._template_jails = template_jails
        self._template: Template | None = None
        self._forked = 0
        self._living: dict[Template, int] = {}
        self._lock = asyncio.Lock()

    def serves(self, jail_limits: Limits, limits: Limits) -> bool:
        """Whether a jail started for ``jail_limits`` can run under ``limits``: all but one are set with the job."""
        return jail_limits.disk_bytes == limits.disk_bytes

    async def start(self, limits: Limits) -> JailProcess:
        """A jail that waits for its job. On the event loop's thread only. Raises :class:`JailStartError`."""
        template = await self._ready_template()
        jail = JailProcess(template, self._account, limits.disk_bytes)
        self._living[template] += 1
        jail.on_close(lambda: self._leave(template))
        try:
            await jail.ready(self._start_seconds)
            await jail.hold(self._cgroups, limits)
        except BaseException:
            await jail.close()
            raise
        return jail

    async def close(self) -> None:
        """End every template, and so every jail."""
        for template in list(self._living):
            template.close()
        self._living.clear()
        self._template = None

    async def _ready_template(self) -> Template:
        async with self._lock:
            if self._template is None or not self._template.alive() or self._forked >= self._template_jails:
                await self._replace_template()
            self._forked += 1
            assert self._template is not None  # noqa: S101 - it was just made
            return self._template

    async def _replace_template(self) -> None:
        old, self._template = self._template, None
        if old is not None and self._living.get(old) == 0:
            self._retire(old)
        template = Template(self.layout, self._account, self._filters)
        self._living[template] = 0
        try:
            await template.ready(self._start_seconds + 30 * bool(self.layout.preload))
        except BaseException:
            self._retire(template)
            raise
        self._template, self._forked = template, 0

    def _leave(self, template: Template) -> None:
        if template not in self._living:
            return
        self._living[template] -= 1
        if template is not self._template and self._living[template] == 0:
            self._retire(template)

    def _retire(self, template: Template) -> None:
        self._living.pop(template, None)
        template.close()

    def describe(self) -> dict[str, object]:
        """What confines a run, as answered to the caller."""
        counted = self._cgroups.version if self._cgroups else "rlimit"
        landlock = self._template.facts["landlock"] if self._template is not None else 0
        return {
            "backend": BACKEND,
            "backend_version": self._bubblewrap_version,
            "tier": "hardened" if landlock and self._cgroups else "standard",
            "namespaces": list(NAMESPACES),
            "host_uid": self._account.uid,
            "seccomp": True,
            "landlock_abi": landlock,
            "network": "none",
            "proc": "fresh" if self.layout.fresh_proc else "none",
            "memory": counted,
            "processes": counted,
            "inodes": self.layout.inodes,
            "python": ".".join(map(str, self.layout.interpreter.version)),
            "preloaded": list(self.layout.preload),
        }
