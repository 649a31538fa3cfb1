"""After the run: was anything lost, was anything finished twice, did everything end, was everyone told?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
from tests.chaos.judge import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tests.chaos.field import Field
    from tests.chaos.world import Receiver

_EVENTS = """
SELECT job.id::text, job.created_at, job.status, job.event_seq, job.attempt, job.max_attempts,
       count(event.seq), max(event.seq),
       count(*) FILTER (WHERE event.type = ANY(%(ends)s)),
       max(event.seq) FILTER (WHERE event.type = ANY(%(ends)s)),
       max(event.type) FILTER (WHERE event.type = ANY(%(ends)s))
FROM kit.jobs AS job LEFT JOIN kit.job_events AS event ON event.job_id = job.id GROUP BY job.id
"""
_RESULTLESS = """
SELECT count(*) FROM kit.jobs AS job
LEFT JOIN planner.plans AS plan ON plan.job_id = job.id LEFT JOIN planner.searches AS search ON search.key = plan.search_key
LEFT JOIN codetree.episodes AS episode ON episode.job_id = job.id
WHERE job.status = 'succeeded' AND (CASE job.service WHEN 'planner' THEN search.result ELSE episode.result END) IS NULL
"""


@dataclass(slots=True)
class Findings:
    """What was found. ``lost`` and ``doubled`` are (job id, created at, what)."""

    jobs: int = 0
    by_status: dict[str, int] = field(default_factory=dict)
    lost: list[tuple[str, datetime | None, str]] = field(default_factory=list)
    doubled: list[tuple[str, datetime | None, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    second_attempts: int = 0
    webhooks: dict[str, int] = field(default_factory=dict)
    model_requests: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.faults)


def audit(field: Field, receiver: Receiver) -> Findings:
    """Read everything back. Nothing may be running any more but what is left over."""
    found = Findings()
    known = _audit_jobs(field, found)
    _audit_receipts(field, found, known)
    _audit_batches(field, found)
    _audit_failures(field, found)
    _audit_model(field, found)
    _audit_webhooks(field, receiver, found)
    without = field.judge.rows(_RESULTLESS)[0][0]
    if without:
        found.faults.append(f"{without} jobs succeeded without a result")
    found.faults += [f"refused for good: {what}" for what in field.callers.broken]
    if field.callers.refusals["500"]:
        found.faults.append(f"{field.callers.refusals['500']} requests were answered 500")
    return found


def _audit_jobs(field: Field, found: Findings) -> dict[str, str]:
    ends = [f"job.{status}" for status in TERMINAL]
    known: dict[str, str] = {}
    for row in field.judge.rows(_EVENTS, ends=ends):
        job, created, status, event_seq, attempt, most, events, last, ended, end_seq, end = row
        known[job] = status
        if status not in TERMINAL:
            found.lost.append((job, created, f"is {status}"))
        elif ended != 1 or end != f"job.{status}":
            found.doubled.append((job, created, f"is {status}, and has {ended} ends in its log"))
        elif end_seq != last:
            found.doubled.append((job, created, "went on after its end"))
        if events != event_seq or last != event_seq:
            found.faults.append(f"job {job} counts {event_seq} events and has {events}, the last numbered {last}")
        if attempt > most:
            found.faults.append(f"job {job} had {attempt} attempts of {most}")
        found.second_attempts += attempt > 1
    found.jobs, found.by_status = len(known), dict(Counter(known.values()))
    return known


def _audit_receipts(field: Field, found: Findings, known: dict[str, str]) -> None:
    """Every promise is kept: an accepted job is there, a cancel that was accepted came true, and no job is unasked."""
    promised = 0
    for receipt in field.callers.receipts:
        if receipt.order.path == "/batches":
            promised += int(receipt.answer["accepted"])
            if receipt.answer["rejected"]:
                found.faults.append(f"batch {receipt.id} had {receipt.answer['rejected']} lines rejected")
            continue
        promised += 1
        status = known.get(receipt.id)
        if status is None:
            found.lost.append((receipt.id, None, "was accepted and is not there"))
        elif receipt.cancel_status == httpx.codes.ACCEPTED and status != "cancelled":
            found.faults.append(f"job {receipt.id} was to be cancelled and is {status}")
        elif receipt.cancel_status not in {None, httpx.codes.ACCEPTED, httpx.codes.CONFLICT}:
            found.faults.append(f"the cancel of job {receipt.id} was answered {receipt.cancel_status}")
    if promised != found.jobs:
        found.faults.append(f"{promised} jobs were promised and there are {found.jobs}")


def _audit_batches(field: Field, found: Findings) -> None:
    for receipt in (one for one in field.callers.receipts if one.order.path == "/batches"):
        url = f"{field.callers.addresses[receipt.order.service]}/batches/{receipt.id}/results"
        lines = [json.loads(line) for line in httpx.get(url, timeout=30, trust_env=False).text.splitlines()]
        cursors = [int(line["cursor"]) for line in lines]
        if cursors != list(range(1, int(receipt.answer["accepted"]) + 1)):
            found.faults.append(f"the results of batch {receipt.id} are numbered {cursors}")
        if len({line["job"]["id"] for line in lines}) != len(lines):
            found.doubled.append((receipt.id, None, "a batch with a job twice in its results"))


def _audit_failures(field: Field, found: Findings) -> None:
    poison = {receipt.id for receipt in field.callers.receipts if receipt.order.kind == "poison"}
    for job, service, error in field.judge.rows(
        "SELECT id::text, service, error ->> 'detail' FROM kit.jobs WHERE status = 'failed'"
    ):
        if job not in poison:
            found.faults.append(f"{service} job {job} failed: {error}")


def _audit_model(field: Field, found: Findings) -> None:
    """No reply was asked for more often than the job was attempted: what had arrived was never paid for again."""
    attempts = {
        str(task): int(attempt)
        for task, attempt in field.judge.rows(
            "SELECT substring(spec ->> 'task' from 'number (\\S+) of'), attempt FROM kit.jobs WHERE service = 'codetree'"
        )
    }
    asked = field.model.asked
    found.model_requests = {"asked": sum(asked.values()), "asked again": sum(count - 1 for count in asked.values())}
    for (task, path, turn), count in asked.items():
        if count > max(1, attempts.get(task, 0)):
            found.faults.append(
                f"node {path}/{turn} of task {task} was asked {count} times in {attempts.get(task)} attempts"
            )


def _audit_webhooks(field: Field, receiver: Receiver, found: Findings) -> None:
    rows: Sequence[tuple[Any, ...]] = field.judge.rows("SELECT job_id::text, status FROM kit.webhook_deliveries")
    wanted = {
        row[0]
        for row in field.judge.rows(
            "SELECT id::text FROM kit.jobs WHERE webhook_url IS NOT NULL AND finished_at IS NOT NULL"
        )
    }
    taken = receiver.taken
    found.webhooks = {
        "wanted": len(wanted),
        "received": len(taken),
        "received again": sum(count - 1 for count in taken.values()),
        "refused once by the receiver": len(receiver.refused),
        "still due": sum(status == "pending" for _, status in rows),
    }
    due = {job for job, status in rows if status == "pending"}
    found.faults += [f"nobody was told of job {job}" for job in sorted(wanted - set(taken) - due)]
