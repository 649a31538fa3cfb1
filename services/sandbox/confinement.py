"""The service's standing answer to one question: can this host confine a run? While it cannot, nothing is run."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import TYPE_CHECKING

from kit.log import get_logger
from kit.problems import Problem
from sandbox.jail.faults import CannotConfineError
from sandbox.jail.requirements import PROBE, prepare_cgroups, prepare_jailer, remedy_for
from sandbox.limits import resolve
from sandbox.runner import Collection, Outcome, Program, execute

if TYPE_CHECKING:
    from sandbox.jail.cgroup import CGroups
    from sandbox.jail.jailer import Jailer
    from sandbox.settings import SandboxSettings

_FRESH_SECONDS = 2.0

logger = get_logger(__name__)


class Confinement:
    """Holds the jailer, once a probe showed that its jails hold."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._jailer: Jailer | None = None
        self._cgroups: CGroups | None = None
        self._fault: CannotConfineError | None = None

    async def check(self) -> Jailer:
        """Run a probe jail, unless one ran just now. Raises :class:`CannotConfineError`."""
        async with self._lock:
            if time.monotonic() - self._checked_at > _FRESH_SECONDS:
                try:
                    self._jailer, self._fault = await self._proven(), None
                except CannotConfineError as fault:
                    self._jailer, self._fault = None, fault
                    logger.error("cannot confine", reason=fault.reason, remedy=fault.remedy)  # noqa: TRY400
                self._checked_at = time.monotonic()
        if self._jailer is None:
            assert self._fault is not None  # noqa: S101 - one of the two is always set by now
            raise self._fault
        return self._jailer

    async def jailer(self) -> Jailer:
        """The jailer for a run; while there is none, the 503 problem that says why."""
        if self._jailer is not None:
            return self._jailer
        try:
            return await self.check()
        except CannotConfineError as fault:
            raise Problem(
                503,
                "cannot-confine",
                "This host cannot confine a program, so none is run",
                str(fault),
                headers={"Retry-After": "30"},
            ) from fault

    def close(self) -> None:
        """Give back what the service itself holds on the host."""
        if self._cgroups is not None:
            self._cgroups.close()

    async def _proven(self) -> Jailer:
        """A jailer whose probe found no hole: with a fresh /proc, or without where the host masks its own."""
        if self._jailer is not None:
            await probe(self._jailer, self._settings)
            return self._jailer
        self._cgroups = self._cgroups or prepare_cgroups(self._settings)
        jailer = await asyncio.to_thread(prepare_jailer, self._settings, fresh_proc=True, cgroups=self._cgroups)
        try:
            await probe(jailer, self._settings)
        except CannotConfineError as fault:
            if "mount proc" not in fault.reason:
                raise
            jailer = dataclasses.replace(jailer, layout=dataclasses.replace(jailer.layout, fresh_proc=False))
            await probe(jailer, self._settings)
        return jailer


async def probe(jailer: Jailer, settings: SandboxSettings) -> None:
    """Run a program in a real jail that looks for holes. Raises :class:`CannotConfineError` for any."""
    limits = resolve({}, settings)
    outcome = await execute(jailer, Program(PROBE), limits, Collection(0, 0, settings.sandbox_collect_seconds))
    if outcome.verdict.status != "ok":
        said = _said(outcome)
        raise CannotConfineError(f"a probe jail failed: {said}", remedy_for(said))
    if outcome.result != []:
        raise CannotConfineError(f"a probe jail has holes: {outcome.result}", remedy_for(str(outcome.result)))


def _said(outcome: Outcome) -> str:
    last_line = (outcome.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    return f"{outcome.verdict.reason} {last_line}".strip()
