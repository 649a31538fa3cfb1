"""The Python client of Astrolabe's services.

>>> from astrolabe import Client
>>> with Client() as client:  # doctest: +SKIP
...     plan = client.plan(request).wait(timeout_seconds=600)
...     plan.best.strategy
"""

from astrolabe.async_client import AsyncClient, AsyncJob
from astrolabe.batches.async_batch import AsyncBatch
from astrolabe.batches.handles import Submission
from astrolabe.batches.models import BatchReceipt, BatchResult, BatchState, BatchStatus, Rejection
from astrolabe.batches.sync_batch import Batch
from astrolabe.calibrations import Calibration
from astrolabe.calls import EPISODES, PLANS, JobKind, JobQuery
from astrolabe.catalog import GPUS, MODELS, PRICES, Gpu, ModelPreset, Price
from astrolabe.client import Client, Job
from astrolabe.config import Config, Service
from astrolabe.episodes import Episode
from astrolabe.errors import (
    ApiProblem,
    AstrolabeError,
    ConfigurationError,
    JobCancelledError,
    JobFailedError,
    ServiceUnreachableError,
    UnexpectedResponseError,
    WaitTimeoutError,
)
from astrolabe.exports import Export, ExportFormat
from astrolabe.models import Event, FieldError, JobState, JobStatus, Progress
from astrolabe.plans import Estimate, Plan
from astrolabe.retry import RetryPolicy
from astrolabe.webhooks import WebhookVerificationError, verify_webhook

__all__ = [
    "EPISODES",
    "GPUS",
    "MODELS",
    "PLANS",
    "PRICES",
    "ApiProblem",
    "AstrolabeError",
    "AsyncBatch",
    "AsyncClient",
    "AsyncJob",
    "Batch",
    "BatchReceipt",
    "BatchResult",
    "BatchState",
    "BatchStatus",
    "Calibration",
    "Client",
    "Config",
    "ConfigurationError",
    "Episode",
    "Estimate",
    "Event",
    "Export",
    "ExportFormat",
    "FieldError",
    "Gpu",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobKind",
    "JobQuery",
    "JobState",
    "JobStatus",
    "ModelPreset",
    "Plan",
    "Price",
    "Progress",
    "Rejection",
    "RetryPolicy",
    "Service",
    "ServiceUnreachableError",
    "Submission",
    "UnexpectedResponseError",
    "WaitTimeoutError",
    "WebhookVerificationError",
    "verify_webhook",
]
