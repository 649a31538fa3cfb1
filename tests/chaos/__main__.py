"""``python -m tests.chaos``: break the stack in every way there is a fault for, and see whether anything is lost.

Real stores, both APIs, two workers each, relay, courier and sandbox run under the launcher; callers keep at least
``--jobs`` jobs coming meanwhile. The order of jobs and faults follows from ``--seed``. Exit status 1 when anything was
lost, finished twice, left unfinished, or mended too late.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos import report
from tests.chaos.audit import audit
from tests.chaos.faults import FAULTS, Fault, FaultFailedError
from tests.chaos.field import LEASE_SECONDS, Field, running_field
from tests.chaos.load import Callers
from tests.chaos.orders import orders
from tests.chaos.report import Injected
from tests.chaos.world import Model, Receiver

from devstack.host import ensure_bubblewrap
from devstack.session import Session, session
from devstack.settings import DevstackSettings
from kit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
_SERVICES = ("planner", "codetree")
_BUSY = 3
_BUSY_SECONDS = 10.0
_RECOVERY_SECONDS = 90.0
_DRAIN_SECONDS = 180.0
_TELL_SECONDS = 75.0
_LOOK_SECONDS = 0.05
_SETTLE_SECONDS = 1.0
_MODEL_SECONDS = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000, help="at least so many")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="only faults whose name holds this text")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of chaos.json and chaos.md")
    parser.add_argument("--keep", action="store_true", help="keep the data and the logs")
    given = parser.parse_args()
    chosen = [fault for fault in FAULTS if given.only in fault.name]
    result: dict[str, Any] = {"passed": False}
    with session() as run:
        ensure_bubblewrap(run.say)
        result = wreck(run, chosen, given.jobs, given.seed, keep=given.keep)
        report.write(given.out, result)
        for finding in result["findings"]:
            run.fail(finding)
        run.say(
            f"{result['jobs']} jobs, {result['lost']} lost, {result['doubled']} finished twice; {given.out}/chaos.md"
        )
    sys.exit(0 if result["passed"] else 1)


def wreck(run: Session, faults: list[Fault], jobs: int, seed: int, *, keep: bool = False) -> dict[str, Any]:
    """Inject the faults one after another, wait for the end of every job, and read everything back."""
    began = time.monotonic()
    folder = run.folder(load_settings(DevstackSettings)) / "chaos"
    with Receiver() as receiver:

        def callers(addresses: Mapping[str, str], database_url: str) -> Callers:
            asked = {service: orders(seed, service, receiver.url) for service in _SERVICES}
            return Callers(addresses, database_url, asked, seed)

        with running_field(run, folder, callers, Model(_MODEL_SECONDS), seed, keep=keep) as field:
            run.say(f"the stack runs; {len(faults)} faults to come")
            injected = [_injected(field, fault, f"{n}/{len(faults)}") for n, fault in enumerate(faults, 1)]
            _wait(field, lambda: field.callers.jobs >= jobs, _DRAIN_SECONDS)
            field.callers.finish()
            run.say(f"{field.callers.jobs} jobs accepted; waiting for their ends")
            _wait(field, lambda: field.judge.waiting() == 0, _DRAIN_SECONDS)
            _wait(field, lambda: not field.judge.rows(_DUE)[0][0], _TELL_SECONDS)
            found = audit(field, receiver)
            again = ", ".join(f"{how} {count} times" for how, count in sorted(field.callers.refusals.items()))
    about = {
        "command": "make chaos",
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.monotonic() - began),
        "requests_sent_again": again,
    }
    return report.document(injected, found, about)


_DUE = (
    "SELECT count(*) FROM kit.webhook_deliveries WHERE status = 'pending' AND next_attempt_at < now() + interval '75 s'"
)


def _injected(field: Field, fault: Fault, position: str) -> Injected:
    field.held.clear()
    _wait(field, lambda: len(field.judge.held()) >= _BUSY, _BUSY_SECONDS)
    undisturbed = _seconds_to_recover(field)
    outcome = Injected(fault.name, datetime.now(UTC), field.note_held(), undisturbed, None, fault.interrupts)
    try:
        outcome.note = fault.inject(field) or ""
    except FaultFailedError as error:
        outcome.failed = str(error)
    outcome.seconds = _seconds_to_recover(field)
    mended = "not mended" if outcome.seconds is None else f"mended in {outcome.seconds:.1f} s"
    ended = field.callers.jobs - field.callers.waiting.total()
    said = outcome.failed or outcome.note
    field.say(f"{position} {fault.name}: {outcome.in_flight} in flight, {mended}; {ended} jobs ended so far. {said}")
    field.idle(_SETTLE_SECONDS)
    return outcome


def _seconds_to_recover(field: Field) -> float | None:
    """Seconds until a new job of each service has ended and none that a worker held is abandoned; None if too many."""
    since, canaries = datetime.now(UTC), field.callers.send_canaries()

    def recovered() -> bool:
        if not all(canary.done() for canary in canaries):
            return False
        sent = [receipt.id for canary in canaries if (receipt := canary.result())]
        return field.judge.ended(sent) and field.judge.abandoned(field.held, since, LEASE_SECONDS) == 0

    return (datetime.now(UTC) - since).total_seconds() if _wait(field, recovered, _RECOVERY_SECONDS) else None


def _wait(field: Field, done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        field.idle(_LOOK_SECONDS)
    return False


if __name__ == "__main__":
    main()
