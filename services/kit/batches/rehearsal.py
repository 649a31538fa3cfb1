"""A batch that is only looked at: what would become of its lines, quotas aside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.batches.views import BatchReport
from kit.canonical import sha256
from kit.jobs.bulk import earlier_jobs
from kit.jobs.submit import key_reused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from kit.batches.lines import Line, Parsed, Rejection


@dataclass(slots=True)
class Rehearsal:
    """``add`` the lines of a batch, then read the ``report``. Nothing is written."""

    _accepted: int = 0
    _duplicates: int = 0
    _refused: list[Rejection] = field(default_factory=list)
    _taken: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By external id: what has it, and the fingerprint of what that was asked."""

    def add(self, session: Session, parsed: Parsed) -> None:
        """See which of the lines are new, repeat a job or an earlier line, or contradict one."""
        known = earlier_jobs(session, [line.submission for line in parsed.lines])
        self._taken |= {id_: (f"job {job_id}", digest) for id_, (job_id, digest) in known.items()}
        self._refused += parsed.rejections
        for line in parsed.lines:
            self._see(line)

    def report(self) -> BatchReport:
        """The answer."""
        return BatchReport(
            id=None,
            status=None,
            total=self._accepted + self._duplicates + len(self._refused),
            accepted=self._accepted,
            duplicates=self._duplicates,
            rejected=len(self._refused),
            rejections=sorted(self._refused, key=lambda rejection: rejection.line),
            links={},
            created_at=None,
        )

    def _see(self, line: Line) -> None:
        external_id = line.submission.external_id
        if external_id is None:
            self._accepted += 1
            return
        own = f"line {line.number}", sha256(line.submission.spec)
        by, digest = self._taken.setdefault(external_id, own)
        if by == own[0]:
            self._accepted += 1
        elif digest == own[1]:
            self._duplicates += 1
        else:
            self._refused.append(line.rejected(key_reused("external_id", external_id, by, 409)))
