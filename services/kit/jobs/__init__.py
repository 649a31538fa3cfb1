"""The life cycle of a job: accepted once, computed at least once, finished once."""

from kit.jobs.models import Job, JobEvent
from kit.jobs.states import ACTIVE, TERMINAL, JobStatus
from kit.jobs.submit import Accepted, Submission, submit
from kit.jobs.transitions import Claim, ClaimLostError

__all__ = [
    "ACTIVE",
    "TERMINAL",
    "Accepted",
    "Claim",
    "ClaimLostError",
    "Job",
    "JobEvent",
    "JobStatus",
    "Submission",
    "submit",
]
