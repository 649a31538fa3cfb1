"""The worker side of the job life cycle."""

from kit.worker.context import CancelledByOwnerError, JobContext, TransientError
from kit.worker.run import Handler, Store, run_job
from kit.worker.serve import serve

__all__ = ["CancelledByOwnerError", "Handler", "JobContext", "Store", "TransientError", "run_job", "serve"]
