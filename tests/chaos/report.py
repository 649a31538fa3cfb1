"""The table of a run, as JSON and as Markdown."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tests.chaos.field import HEARTBEAT_SECONDS, LEASE_SECONDS

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.chaos.audit import Findings

GRACE_SECONDS = 5.0
_PACKAGES = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "fastapi", "uvicorn")


@dataclass(slots=True)
class Injected:
    """One fault of the run, and how long it took until all was well again; ``failed`` says what did not hold."""

    name: str
    at: datetime
    in_flight: int
    undisturbed_seconds: float | None
    seconds: float | None
    interrupts: bool
    note: str = ""
    failed: str = ""

    @property
    def within(self) -> bool:
        return not self.failed and (
            not self.interrupts or (self.seconds is not None and self.seconds <= LEASE_SECONDS + GRACE_SECONDS)
        )


def document(faults: list[Injected], found: Findings, about: dict[str, Any]) -> dict[str, Any]:
    """Everything about the run as JSON."""
    return {
        **about,
        "machine": {
            "cores": os.cpu_count(),
            "processor": _processor(),
            "load": os.getloadavg()[1],
            "python": platform.python_version(),
        },
        "versions": {package: version(package) for package in _PACKAGES},
        "heartbeat_seconds": HEARTBEAT_SECONDS,
        "lease_seconds": LEASE_SECONDS,
        "allowed_recovery_seconds": LEASE_SECONDS + GRACE_SECONDS,
        "passed": passed(faults, found),
        "jobs": found.jobs,
        "by_status": found.by_status,
        "jobs_with_several_attempts": found.second_attempts,
        "lost": len(found.lost),
        "doubled": len(found.doubled),
        "webhooks": found.webhooks,
        "model_requests": found.model_requests,
        "findings": [
            *(f"lost: {one}" for one in found.lost),
            *(f"doubled: {one}" for one in found.doubled),
            *found.faults,
        ],
        "faults": [_row(fault, faults, found) for fault in faults],
    }


def passed(faults: list[Injected], found: Findings) -> bool:
    """Whether nothing was lost or doubled and every recovery was in time."""
    return found.clean and all(fault.within for fault in faults)


def _row(fault: Injected, faults: list[Injected], found: Findings) -> dict[str, Any]:
    """A job belongs to the last fault injected before it was accepted."""
    following = min((other.at for other in faults if other.at > fault.at), default=None)

    def count(items: list[tuple[str, datetime | None, str]]) -> int:
        return sum(1 for _, at, _ in items if at and at >= fault.at and (following is None or at < following))

    return {
        "fault": fault.name,
        "jobs_in_flight": fault.in_flight,
        "undisturbed_seconds": None if fault.undisturbed_seconds is None else round(fault.undisturbed_seconds, 2),
        "recovery_seconds": None if fault.seconds is None else round(fault.seconds, 2),
        "lost": count(found.lost),
        "doubled": count(found.doubled),
        "in_time": fault.within,
        "note": fault.failed or fault.note,
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as lines:  # noqa: PTH123
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def write(folder: Path, result: dict[str, Any]) -> None:
    """``chaos.json`` and ``chaos.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "chaos.md").write_text(markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """The run for readers."""
    machine, states = result["machine"], sorted(result["by_status"].items())
    head = (
        f"`{result['command']}` on {result['date']}: {machine['cores']} cores ({machine['processor']}), "
        f"load average {machine['load']:.1f}, Python {machine['python']}; heartbeat {result['heartbeat_seconds']} s, lease {result['lease_seconds']} s. "
        f"**{'Passed' if result['passed'] else 'FAILED'}.**"
    )
    summary = (
        f"{result['jobs']} jobs ({', '.join(f'{count} {status}' for status, count in states)}), {result['lost']} lost, "
        f"{result['doubled']} finished twice, {result['jobs_with_several_attempts']} with more than one attempt, in "
        f"{result['seconds']} s. Recovery is counted from the end of a fault until a new job of each service has ended and "
        "every job that a worker held has ended, is queued again, or has its lease renewed; "
        f'at most {result["allowed_recovery_seconds"]} s are allowed. "Before" is the same measure with nothing broken, taken '
        "just before the fault: it tells how busy the machine was."
    )
    table = ["| fault | jobs in flight | before, s | recovery, s | lost | twice | |", "|---|--:|--:|--:|--:|--:|---|"]
    lines = ["# Chaos", "", head, "", summary, "", *table]
    for row in result["faults"]:
        seconds = "-" if row["recovery_seconds"] is None else row["recovery_seconds"]
        mark = row["note"] or ("" if row["in_time"] else "too late")
        lines.append(
            f"| {row['fault']} | {row['jobs_in_flight']} | {row['undisturbed_seconds']} | {seconds} | {row['lost']} | {row['doubled']} | {mark} |"
        )
    lines += ["", f"Requests that had to be sent again: {result['requests_sent_again'] or 'none'}."]
    lines += [f"Webhooks: {_counts(result['webhooks'])}. Model requests: {_counts(result['model_requests'])}.", ""]
    if result["findings"]:
        lines += ["## What did not hold", "", *(f"- {finding}" for finding in result["findings"]), ""]
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())
