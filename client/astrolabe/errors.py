"""What can go wrong, each with one line that says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astrolabe.models import FieldError, JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astrolabe.config import Service


class AstrolabeError(Exception):
    """The base of everything this package raises on purpose."""


class ConfigurationError(AstrolabeError):
    """A setting or an argument of the client cannot be used."""


class ServiceUnreachableError(AstrolabeError):
    """No answer came, after all retries."""

    def __init__(self, service: Service, url: str, reason: str) -> None:
        super().__init__(
            f"The {service} does not answer at {url} ({reason}): start it with `make up`, or set {service.variable}."
        )
        self.service = service
        self.url = url
        self.reason = reason


class UnexpectedResponseError(AstrolabeError):
    """Something answered that does not speak as an Astrolabe service does."""

    def __init__(self, service: Service, url: str, reason: str) -> None:
        super().__init__(f"{url} does not answer as a {service} would ({reason}): check {service.variable}.")
        self.service = service
        self.url = url
        self.reason = reason


class ApiProblem(AstrolabeError):  # noqa: N818 - named after the RFC's term
    """An RFC 9457 problem that a service answered. ``errors`` names each wrong field, its value and the remedy.

    ``retry_after_seconds`` is how long a service that is busy, or whose limit was reached, asks to be left alone.
    """

    def __init__(
        self,
        *,
        status: int,
        title: str,
        detail: str,
        type_uri: str = "about:blank",
        instance: str | None = None,
        request_id: str | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{title} (HTTP {status}): {detail}" if detail else f"{title} (HTTP {status})")
        self.status = status
        self.title = title
        self.detail = detail
        self.type_uri = type_uri
        self.instance = instance
        self.request_id = request_id
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds

    @property
    def slug(self) -> str:
        """The stable, machine-readable name of the problem, such as ``invalid-request``."""
        return self.type_uri.rpartition(":")[2]


class JobFailedError(AstrolabeError):
    """The job that was waited for ended without a result. ``state`` is the job as it ended."""

    def __init__(self, state: JobState) -> None:
        reason = f": {state.error.detail or state.error.title}" if state.error else ""
        super().__init__(f"Job {state.id} {state.status}{reason}")
        self.state = state


class JobCancelledError(JobFailedError):
    """The job that was waited for was cancelled."""


class WaitTimeoutError(AstrolabeError, TimeoutError):
    """The job or batch had not ended in time; it goes on."""

    def __init__(self, job_id: str, timeout_seconds: float, *, noun: str = "Job") -> None:
        super().__init__(f"{noun} {job_id} had not ended after {timeout_seconds:g} s; it goes on.")
        self.noun = noun
        self.job_id = job_id
        self.timeout_seconds = timeout_seconds
