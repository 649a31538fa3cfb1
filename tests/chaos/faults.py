"""The faults, one function each. A function returns when its fault is over; recovery is measured from then on."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.field import LEASE_SECONDS
from tests.chaos.orders import Order, episode, long_plan, small_plan

if TYPE_CHECKING:
    from tests.chaos.field import Field
    from tests.chaos.load import Receipt

WORKERS = ("planner-worker", "planner-worker-2", "codetree-worker", "codetree-worker-2")
_OUTAGE_SECONDS = 4.0
_DUPLICATES = 50
_RACES = 60
_END_SECONDS = 150.0
_ENDED = ("succeeded", "failed", "cancelled")


class FaultFailedError(Exception):
    """What should have held during the fault did not."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name. ``interrupts``: whether the seconds until recovery are its measure."""

    name: str
    inject: Callable[[Field], str | None]
    interrupts: bool = True


def _repeated(times: int, step: Callable[[Field], object], pause_seconds: float) -> Callable[[Field], None]:
    def inject(field: Field) -> None:
        for number in range(times):
            if number:
                field.idle(pause_seconds)
                field.note_held()
            step(field)

    return inject


def _pause_past_lease(part: str) -> Callable[[Field], None]:
    def inject(field: Field) -> None:
        with field.stopped(part):
            field.idle(LEASE_SECONDS + 2.0)

    return inject


def _lose_redis(field: Field) -> None:
    """Kill Redis and throw its data away before it comes back."""
    home = field.daemon("redis").home
    field.kill_store("redis")
    for path in home.iterdir():
        if path.name.startswith("appendonly") or path.suffix in {".aof", ".rdb"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _terminate_backends(field: Field) -> None:
    field.judge.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
    )


def _stop_relay(field: Field) -> None:
    with field.stopped("relay"):
        field.idle(_OUTAGE_SECONDS)


def _slow(link: str, delay_seconds: float) -> Callable[[Field], None]:
    def inject(field: Field) -> None:
        with field.links[link].slow(delay_seconds):
            field.idle(_OUTAGE_SECONDS * 2)

    return inject


def _cut(link: str) -> Callable[[Field], None]:
    def inject(field: Field) -> None:
        with field.links[link].cut():
            field.idle(_OUTAGE_SECONDS)

    return inject


def _half_open(link: str) -> Callable[[Field], None]:
    def inject(field: Field) -> None:
        with field.links[link].half_open():
            field.idle(_OUTAGE_SECONDS * 2)

    return inject


def _duplicates(field: Field) -> str:
    """One request fifty times at once under one key; then one question fifty times at once under fifty keys."""
    same = Order(10**6 + field.seed, "duplicate", "planner", "/plans", small_plan("duplicate"))
    ids = {receipt.id for receipt in field.callers.send_at_once([same] * _DUPLICATES) if receipt}
    if len(ids) != 1:
        raise FaultFailedError(f"one idempotency key made {len(ids)} jobs")
    # One receipt for one job: the other forty-nine were the same.
    _forget_repeats(field, ids)
    alike = [replace(same, number=same.number + 1 + n, body=long_plan("alike")) for n in range(_DUPLICATES)]
    receipts = [receipt for receipt in field.callers.send_at_once(alike) if receipt]
    _until_ended(field, [receipt.id for receipt in receipts])
    begun = field.judge.rows(
        "SELECT count(*) FROM kit.jobs WHERE id = ANY(%(ids)s::uuid[]) AND leader_id IS NULL AND attempt > 0",
        ids=[receipt.id for receipt in receipts],
    )[0][0]
    if begun != 1:
        raise FaultFailedError(f"one question was computed {begun} times")
    return f"{_DUPLICATES} requests made 1 job; {_DUPLICATES} askers of one question made 1 search"


def _forget_repeats(field: Field, ids: set[str]) -> None:
    seen: set[str] = set()
    kept: list[Receipt] = []
    for receipt in field.callers.receipts:
        if receipt.id in ids and receipt.id in seen:
            field.callers.jobs -= 1
            continue
        seen.add(receipt.id)
        kept.append(receipt)
    field.callers.receipts[:] = kept


def _race_cancels(field: Field) -> str:
    """Cancel each of many jobs at about the time it ends; whatever the cancel is answered must come true."""
    chance = random.Random(field.seed)  # noqa: S311 - reproducible
    first = 2 * 10**6 + field.seed
    orders = [
        Order(
            first + n,
            "race",
            "planner",
            "/plans",
            small_plan(f"race.{n}"),
            cancel_after_seconds=chance.uniform(0.0, 3.0),
        )
        for n in range(_RACES)
    ]
    receipts = [receipt for receipt in field.callers.send_at_once(orders) if receipt]
    _until_ended(field, [receipt.id for receipt in receipts])
    status = dict(
        field.judge.rows(
            "SELECT id::text, status FROM kit.jobs WHERE id = ANY(%(ids)s::uuid[])", ids=[r.id for r in receipts]
        )
    )
    broken = [r.id for r in receipts if (r.cancel_status == 202) != (status[r.id] == "cancelled")]
    if broken:
        raise FaultFailedError(f"cancels were answered one way and went another: {broken}")
    cancelled = sum(state == "cancelled" for state in status.values())
    return f"of {_RACES} jobs {cancelled} were cancelled, {_RACES - cancelled} had ended first; every answer came true"


def _poison(field: Field) -> str:
    """Kill whoever takes one job, every time; the job must end failed, its attempts spent."""
    order = Order(3 * 10**6 + field.seed, "poison", "planner", "/plans", long_plan("poison"))
    receipt = field.callers.send(order)
    if receipt is None:
        raise FaultFailedError("the poison job was not accepted")
    deadline, killed = time.monotonic() + _END_SECONDS, set[int]()
    while time.monotonic() < deadline:
        status, attempt, worker, error = field.judge.rows(
            "SELECT status, attempt, worker, error ->> 'detail' FROM kit.jobs WHERE id = %(id)s", id=receipt.id
        )[0]
        if status in _ENDED:
            if status != "failed":
                raise FaultFailedError(f"the poison job ended {status} at attempt {attempt}")
            return f"failed after {attempt} attempts: {error}"
        if status == "running" and attempt not in killed:
            killed.add(attempt)
            with suppress(ProcessLookupError):
                os.kill(int(str(worker).rpartition(":")[2]), signal.SIGKILL)
        field.idle(0.0)
        time.sleep(0.02)
    raise FaultFailedError("the poison job did not end")


def _fill_scratch(field: Field) -> str:
    """Programs that fill their jail's file systems, and a full temporary folder below the sandbox itself."""
    first = 4 * 10**6 + field.seed
    orders = [
        Order(first + n, "filling", "codetree", "/solve", episode(f"filling.{first}.{n}", "filling")) for n in range(8)
    ]
    with _full_folder(field.scratch) as host:
        field.kill("sandbox")
        receipts = [receipt for receipt in field.callers.send_at_once(orders) if receipt]
        _until_ended(field, [receipt.id for receipt in receipts])
    answered = field.judge.rows(
        "SELECT count(*) FROM kit.jobs WHERE id = ANY(%(ids)s::uuid[]) AND status = 'succeeded'",
        ids=[receipt.id for receipt in receipts],
    )[0][0]
    if answered != len(orders):
        raise FaultFailedError(f"{answered} of {len(orders)} episodes answered from a full file system")
    return f"{answered} of {len(orders)} episodes answered from full jails; {host}"


class _full_folder:  # noqa: N801 - used as a context manager
    """A tiny file system over ``folder``, filled; only root may do that, and it is said when it was not done."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mounted = False

    def __enter__(self) -> str:
        command = ["mount", "-t", "tmpfs", "-o", "size=16k", "chaos", str(self._folder)]
        self._mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
        if not self._mounted:
            return "the host's folder was not filled: that takes root"
        with suppress(OSError), (self._folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        return "the sandbox restarted with its temporary folder full"

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


def _until_ended(field: Field, ids: list[str]) -> None:
    deadline = time.monotonic() + _END_SECONDS
    query = "SELECT count(*) FROM kit.jobs WHERE id = ANY(%(ids)s::uuid[]) AND status = ANY(%(ended)s)"
    while field.judge.rows(query, ids=ids, ended=list(_ENDED))[0][0] < len(ids):
        if time.monotonic() > deadline:
            raise FaultFailedError("the jobs of the fault did not end")
        field.idle(0.1)


FAULTS = (
    Fault(
        "a child of a planner worker killed, 3 times", _repeated(3, lambda f: f.kill_children("planner-worker"), 1.5)
    ),
    Fault("a planner worker killed", lambda f: f.kill("planner-worker")),
    Fault("a codetree worker killed", lambda f: f.kill("codetree-worker")),
    Fault("all workers killed, 3 times", _repeated(3, lambda f: f.kill(*WORKERS), 4.0)),
    Fault("a planner worker paused past its lease", _pause_past_lease("planner-worker")),
    Fault("a codetree worker paused past its lease", _pause_past_lease("codetree-worker-2")),
    Fault("Redis killed, its data kept", lambda f: f.kill_store("redis")),
    Fault("Redis killed, its data lost", _lose_redis),
    Fault("Postgres killed", lambda f: f.kill_store("postgres")),
    Fault("Postgres backends terminated, 3 times", _repeated(3, _terminate_backends, 1.0)),
    Fault("the planner API killed", lambda f: f.kill("planner-api")),
    Fault("the codetree API killed", lambda f: f.kill("codetree-api")),
    Fault("the sandbox killed", lambda f: f.kill("sandbox")),
    Fault("the relay stopped for 4 s", _stop_relay),
    Fault("the relay killed, twice", _repeated(2, lambda f: f.kill("relay"), 1.0)),
    Fault("the courier killed, twice", _repeated(2, lambda f: f.kill("courier"), 1.0)),
    Fault("Postgres slow: 20 ms each way", _slow("postgres", 0.02)),
    Fault("Redis slow: 100 ms each way", _slow("redis", 0.1)),
    Fault("the sandbox slow: 300 ms each way", _slow("sandbox", 0.3)),
    Fault("Postgres cut off for 4 s", _cut("postgres")),
    Fault("Redis cut off for 4 s", _cut("redis")),
    Fault("the sandbox cut off for 4 s", _cut("sandbox")),
    Fault("connections to Postgres half-open for 8 s", _half_open("postgres")),
    Fault("connections to Redis half-open for 8 s", _half_open("redis")),
    Fault("connections to the sandbox half-open for 8 s", _half_open("sandbox")),
    Fault("50 duplicate submissions at once", _duplicates, interrupts=False),
    Fault("60 cancels racing the ends of their jobs", _race_cancels, interrupts=False),
    Fault("a job that kills whoever takes it", _poison, interrupts=False),
    Fault("scratch file systems full", _fill_scratch, interrupts=False),
)
