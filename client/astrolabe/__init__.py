"""The Python client of Astrolabe's services.

>>> from astrolabe import Client
>>> with Client() as client:  # doctest: +SKIP
...     plan = client.plan(request).wait(timeout_seconds=600)
...     plan.best.strategy
"""

from astrolabe.async_client import AsyncClient, AsyncJob
from astrolabe.calls import EPISODES, PLANS, JobKind, JobQuery
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
from astrolabe.models import Event, FieldError, JobState, JobStatus, Progress
from astrolabe.plans import Estimate, Plan
from astrolabe.retry import RetryPolicy

__all__ = [
    "EPISODES",
    "PLANS",
    "ApiProblem",
    "AstrolabeError",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Config",
    "ConfigurationError",
    "Episode",
    "Estimate",
    "Event",
    "FieldError",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobKind",
    "JobQuery",
    "JobState",
    "JobStatus",
    "Plan",
    "Progress",
    "RetryPolicy",
    "Service",
    "ServiceUnreachableError",
    "UnexpectedResponseError",
    "WaitTimeoutError",
]
