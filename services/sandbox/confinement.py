"""The service's standing answer to one question: can this host confine a run? While it cannot, nothing is run."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from kit.log import get_logger
from kit.problems import Problem
from sandbox.docker_backend import DockerBackend
from sandbox.jail.faults import CannotConfineError
from sandbox.jail.requirements import PROBE, check_tier, prepare_cgroups, prepare_jailer, remedy_for
from sandbox.limits import resolve
from sandbox.pool import Pool
from sandbox.runner import Collection, Outcome, Program, execute

if TYPE_CHECKING:
    from sandbox.backend import Backend
    from sandbox.jail.cgroup import CGroups
    from sandbox.settings import SandboxSettings

_FRESH_SECONDS = 2.0

logger = get_logger(__name__)


class Confinement:
    """Holds the backend and its pool, once a probe showed that its jails hold."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._pool: Pool | None = None
        self._proven = False
        self._cgroups: CGroups | None = None
        self._fault: CannotConfineError | None = None

    async def check(self) -> Pool:
        """Run a probe jail, unless one ran just now. Raises :class:`CannotConfineError`."""
        async with self._lock:
            if time.monotonic() - self._checked_at > _FRESH_SECONDS:
                try:
                    await self._prove()
                except CannotConfineError as fault:
                    self._fault, self._proven = fault, False
                    logger.error("cannot confine", reason=fault.reason, remedy=fault.remedy)  # noqa: TRY400
                self._checked_at = time.monotonic()
        if self._fault is not None or self._pool is None:
            assert self._fault is not None  # noqa: S101 - one of the two is always set by now
            raise self._fault
        return self._pool

    async def pool(self) -> Pool:
        """Where jails for runs come from; while nothing confines, the 503 problem that says why."""
        if self._pool is not None and self._proven:
            return self._pool
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

    @property
    def current(self) -> Pool | None:
        """The pool, once there is one."""
        return self._pool

    def describe(self) -> dict[str, object]:
        """What confines a run; nothing before a probe held."""
        return self._pool.backend.describe() if self._pool is not None else {}

    async def close(self) -> None:
        """Give back what the service itself holds on the host."""
        if self._pool is not None:
            await self._pool.close()
            await self._pool.backend.close()
        if self._cgroups is not None:
            self._cgroups.close()

    async def _prove(self) -> None:
        """Have a pool whose backend's probe found no hole."""
        if self._pool is None:
            self._pool = await self._first_pool()
        else:
            await probe(self._pool, self._settings)
        self._fault, self._proven = None, True
        self._pool.open()

    async def _first_pool(self) -> Pool:
        """Docker's where the settings say so; else bubblewrap's with a fresh /proc, or without where that is masked."""
        settings = self._settings
        if settings.sandbox_backend == "docker":
            return await self._tried(await asyncio.to_thread(DockerBackend, settings))
        self._cgroups = self._cgroups or prepare_cgroups(settings)
        backend = await asyncio.to_thread(prepare_jailer, settings, fresh_proc=True, cgroups=self._cgroups)
        try:
            return await self._tried(backend)
        except CannotConfineError as fault:
            if "mount proc" not in fault.reason:
                raise
        backend = await asyncio.to_thread(prepare_jailer, settings, fresh_proc=False, cgroups=self._cgroups)
        return await self._tried(backend)

    async def _tried(self, backend: Backend) -> Pool:
        pool = Pool(backend, self._settings.sandbox_pool_size, resolve({}, self._settings))
        try:
            await probe(pool, self._settings)
            check_tier(backend.describe(), self._settings)
        except BaseException:
            await backend.close()
            raise
        return pool


async def probe(pool: Pool, settings: SandboxSettings) -> None:
    """Run a program in a real jail that looks for holes. Raises :class:`CannotConfineError` for any."""
    program, collection = Program(PROBE), Collection(0, 0, settings.sandbox_collect_seconds)
    outcome = await execute(
        pool, program, resolve({}, settings), collection, result_bytes=settings.sandbox_result_bytes
    )
    if outcome.verdict.status != "ok":
        said = _said(outcome)
        raise CannotConfineError(f"a probe jail failed: {said}", remedy_for(said))
    if outcome.result != []:
        raise CannotConfineError(f"a probe jail has holes: {outcome.result}", remedy_for(str(outcome.result)))


def _said(outcome: Outcome) -> str:
    last_line = (outcome.stderr.decode(errors="replace").strip().splitlines() or [""])[-1]
    return f"{outcome.verdict.reason} {last_line}".strip()
