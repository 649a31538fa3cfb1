"""The system under test: real stores, links in front of them, and the whole stack under its supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.chaos.judge import Judge
from tests.chaos.link import Link
from tests.chaos.load import Callers

from devstack.launch import Stack
from devstack.offspring import descendants
from devstack.parts import PARTS, SERVICES, Part
from devstack.stores import Stores
from devstack.stores.external import libpq_url
from devstack.stores.folder import read_state
from devstack.stores.ports import free_ports
from devstack.stores.survivors import wait_for_exit
from devstack.supervision import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from tests.chaos.world import Model

    from devstack.session import Session
    from devstack.stores.daemon import Daemon

HEARTBEAT_SECONDS = 0.8
LEASE_SECONDS = 4.0
MAX_ATTEMPTS = 5
_LOOK_SECONDS = 0.1
_RUNNING_SECONDS = 30.0
_GONE_SECONDS = 10.0
# Two workers a service, as in earnest: one that is lost leaves another.
_MORE_PARTS = tuple(
    replace(part, name=f"{part.name}-2") for part in PARTS if part.name in {"planner-worker", "codetree-worker"}
)
SETTINGS = {
    "ASTROLABE_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
    "ASTROLABE_LEASE_SECONDS": str(LEASE_SECONDS),
    "ASTROLABE_RELAY_INTERVAL_SECONDS": "0.5",
    "ASTROLABE_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "ASTROLABE_WORKER_CONCURRENCY": "1",
    "ASTROLABE_WEBHOOK_ALLOW_PRIVATE": "true",
    "ASTROLABE_SANDBOX_POOL_SIZE": "2",
    "ASTROLABE_LOG_FORMAT": "json",
    "ASTROLABE_LLM_MODEL": "scripted",
    "ASTROLABE_RATE_LIMIT": "1000000/minute",
}


@dataclass(slots=True)
class Field:
    """Where faults are injected. Everything is done on the main thread, which owns the processes."""

    stores: Stores
    stack: Stack
    supervisor_socket: Path
    links: dict[str, Link]
    judge: Judge
    callers: Callers
    model: Model
    scratch: Path
    say: Callable[[str], None]
    seed: int
    held: dict[tuple[UUID, int], None] = field(default_factory=dict)

    def idle(self, seconds: float) -> None:
        """Wait, and meanwhile keep the stack alive as its launcher would."""
        deadline = time.monotonic() + seconds
        while True:
            self.stack.watch()
            for daemon in (self.stores.postgres, self.stores.redis):
                if daemon is not None and daemon.pid is None:
                    self.stores.revive()
                    self.links[daemon.name].retarget(daemon.port)
            if time.monotonic() >= deadline:
                return
            time.sleep(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))

    def note_held(self) -> int:
        """Remember what workers hold now, to see later that nobody abandoned it. Returns how many jobs that is."""
        now = self.judge.held()
        self.held.update(dict.fromkeys(now))
        return len(now)

    def daemon(self, name: str) -> Daemon:
        """``postgres`` or ``redis``."""
        return cast("Daemon", getattr(self.stores, name))

    def pid(self, part: str) -> int:
        """The process of a part, once its supervisor calls it running."""
        deadline = time.monotonic() + _RUNNING_SECONDS
        while time.monotonic() < deadline:
            info = self._info(part)
            if info["statename"] == "RUNNING" and info["pid"]:
                return int(str(info["pid"]))
            self.idle(0.05)
        raise TimeoutError(f"{part} does not run again")

    def _info(self, part: str) -> dict[str, object]:
        with connected(self.supervisor_socket) as proxy:
            return cast("dict[str, object]", proxy.supervisor.getProcessInfo(f"astrolabe:{part}"))

    def kill(self, *parts: str) -> None:
        """SIGKILL the parts, all together, and wait until they are gone."""
        pids = [self.pid(part) for part in parts]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            wait_for_exit(pid, _GONE_SECONDS)

    def kill_children(self, part: str) -> None:
        """SIGKILL what the part started, not the part."""
        for pid in descendants(self.pid(part)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def stopped(self, part: str) -> Iterator[None]:
        """The part and its children stand still, as in a long pause of a virtual machine."""
        parent = self.pid(part)
        pids = [parent, *descendants(parent)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def kill_store(self, name: str) -> None:
        """SIGKILL a store; it comes back at the next ``idle``."""
        daemon = self.daemon(name)
        pid = daemon.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_for_exit(pid, _GONE_SECONDS)


@contextmanager
def running_field(
    run: Session,
    folder: Path,
    callers: Callable[[Mapping[str, str], str], Callers],
    model: Model,
    seed: int,
    *,
    keep: bool,
) -> Iterator[Field]:
    """Start everything on fresh data below ``folder``; nothing is left at the end, but logs if they are to be kept."""
    shutil.rmtree(folder, ignore_errors=True)
    with ExitStack() as cleanup:
        if not keep:
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        stores = cleanup.enter_context(Stores(folder / "stores", announce=run.say))
        ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
        behind = {
            "postgres": cast("Daemon", stores.postgres).port,
            "redis": cast("Daemon", stores.redis).port,
            "sandbox": ports["sandbox"],
        }
        links = {name: cleanup.enter_context(Link(port)) for name, port in behind.items()}
        llm = cleanup.enter_context(model.server())
        linked = Stores(
            folder / "parts",
            database_url=stores.database_url.replace(f":{behind['postgres']}/", f":{links['postgres'].port}/"),
            redis_url=stores.redis_url.replace(f":{behind['redis']}/", f":{links['redis'].port}/"),
            announce=run.say,
        )
        cleanup.enter_context(linked)
        scratch = folder / "scratch"
        scratch.mkdir(mode=0o700)
        settings = SETTINGS | {
            "TMPDIR": str(scratch),
            "ASTROLABE_SANDBOX_URL": f"http://127.0.0.1:{links['sandbox'].port}",
            "ASTROLABE_LLM_BASE_URL": f"{llm.url}/v1",
        }
        parts: tuple[Part, ...] = (*PARTS, *_MORE_PARTS)
        stack = cleanup.enter_context(Stack(linked, ports, run.signals, _quiet, parts=parts, settings=settings))
        ground = Field(
            stores=stores,
            stack=stack,
            supervisor_socket=Path(str(read_state(folder / "parts")["supervisor_socket"])),
            links=links,
            judge=Judge(lambda: libpq_url(stores.database_url), lambda seconds: ground.idle(seconds)),  # noqa: PLW0108
            callers=callers(stack.addresses, libpq_url(stores.database_url)),
            model=model,
            scratch=scratch,
            say=run.say,
            seed=seed,
        )
        cleanup.callback(ground.judge.close)
        with ground.callers:
            yield ground


def _quiet(_message: str) -> None:
    """The run says itself what it breaks; that it is mended again is measured."""
