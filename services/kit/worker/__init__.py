"""The worker side of the job life cycle."""

from kit.worker.context import CancelledByOwnerError, JobContext, TransientError
from kit.worker.leases import Leases
from kit.worker.run import Handler, Outcome, run_job, worker_name
from kit.worker.serve import serve

__all__ = [
    "CancelledByOwnerError",
    "Handler",
    "JobContext",
    "Leases",
    "Outcome",
    "TransientError",
    "run_job",
    "serve",
    "worker_name",
]
