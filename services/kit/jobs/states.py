"""The states of a job, and which of them are the end."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """``queued -> running -> succeeded | failed``; a held job is cancelled by way of ``cancelling``."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
ACTIVE = frozenset(JobStatus) - TERMINAL
HELD = frozenset({JobStatus.RUNNING, JobStatus.CANCELLING})
"""A worker holds the job under a lease."""
