"""Settings: every one is an environment variable ``ASTROLABE_*``; a wrong one stops start-up with one clear line."""

from __future__ import annotations

import ipaddress
import re
import sys
from itertools import pairwise
from typing import Annotated, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

_RATE = re.compile(r"[1-9][0-9]{0,8}/(?:[1-9][0-9]{0,4})?(?:second|minute|hour|day)s?")
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?://.+")
_REDIS = re.compile(r"(?:rediss?|unix)://.+")
_UNREADABLE = re.compile(r'field "(\w+)"')
SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def _http_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not an address; write one such as http://host:8000")
    return value


def _origin(value: str) -> str:
    if urlsplit(_http_address(value)).path not in {"", "/"}:
        raise ValueError("is not an origin; leave out the path, as in https://host:8000")
    return value


HttpAddress = Annotated[str, AfterValidator(_http_address)]
"""Where a service answers over HTTP."""
Origin = Annotated[str, AfterValidator(_origin)]
"""Scheme, host and port of addresses."""


class Settings(BaseSettings):
    """What every service has. A service adds its own fields in a subclass."""

    model_config = SettingsConfigDict(env_prefix="ASTROLABE_", extra="ignore", frozen=True)

    profile: Literal["development", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    max_body_bytes: PositiveInt = 4 * 1024 * 1024
    otlp_endpoint: AnyHttpUrl | None = None

    @field_validator("otlp_endpoint", mode="before")
    @classmethod
    def _empty_is_no_endpoint(cls, value: object) -> object:
        """Compose files pass a variable that nobody set as an empty text."""
        return None if value == "" else value


class DatabaseSettings(Settings):
    """Where the truth is kept."""

    database_url: SecretStr
    database_pool_size: PositiveInt = 10

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr) -> SecretStr:
        return _matching(url, _POSTGRES, "postgresql://user:password@host:5432/name")


def _matching(url: SecretStr, pattern: re.Pattern[str], example: str) -> SecretStr:
    """``url`` if it matches. The error holds nothing of it: it may have a password."""
    if not pattern.fullmatch(url.get_secret_value()):
        raise ValueError(f"is not an address of that kind; write one such as {example}")
    return url


def valid_rate(value: str) -> str:
    """``value`` if it is a rate. Raises ``ValueError``."""
    if not _RATE.fullmatch(value):
        msg = f"{value!r} is not a rate; write one such as 100/second or 6000/minute"
        raise ValueError(msg)
    return value


class RateSettings(DatabaseSettings):
    """How many requests a caller may send. A key may have a rate of its own."""

    rate_limit: str = "12000/minute"
    rate_limit_without_key: str = "600/minute"

    _rates_are_rates = field_validator("rate_limit", "rate_limit_without_key")(valid_rate)


class RetentionSettings(DatabaseSettings):
    """How long what has ended is kept, and how often the relay looks for what is too old."""

    keep_jobs_days: PositiveInt = 90
    keep_events_days: PositiveInt = 30
    keep_deliveries_days: PositiveInt = 30
    keep_idempotency_keys_days: PositiveInt = 7
    keep_audit_days: PositiveInt = 365
    prune_interval_seconds: PositiveFloat = 3600.0


class JobSettings(RateSettings, RetentionSettings):
    """The job life cycle. heartbeat < lease < hard time limit < visibility timeout: checked, never hoped for."""

    redis_url: SecretStr
    heartbeat_seconds: PositiveFloat = 3.0
    lease_seconds: PositiveFloat = 12.0
    job_time_limit_seconds: PositiveInt = 3600
    visibility_timeout_seconds: PositiveInt = 7200
    max_attempts: PositiveInt = 5
    relay_interval_seconds: PositiveFloat = 1.0
    webhook_allow_private: bool = False
    batch_max_lines: PositiveInt = 50_000
    batch_max_bytes: PositiveInt = 64 * 1024 * 1024
    worker_concurrency: PositiveInt = Field(default=2, le=64)

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        return _matching(url, _REDIS, "redis://host:6379/0")

    @model_validator(mode="after")
    def _time_limits_are_ordered(self) -> Self:
        times = (
            self.heartbeat_seconds,
            self.lease_seconds,
            self.job_time_limit_seconds,
            self.visibility_timeout_seconds,
        )
        if not all(shorter < longer for shorter, longer in pairwise(times)):
            names = "heartbeat_seconds < lease_seconds < job_time_limit_seconds < visibility_timeout_seconds"
            msg = f"{names} must hold, got {' / '.join(str(time) for time in times)}"
            raise ValueError(msg)
        return self


def load_settings(settings_class: type[SettingsT]) -> SettingsT:
    """Read the settings from the environment, or exit with status 2 and one line that names each wrong variable."""
    try:
        return settings_class()
    except ValidationError as error:
        stop(explain(error))
    except SettingsError as error:
        found = _UNREADABLE.search(str(error))
        stop(f'{_variable(found[1] if found else "settings")}: is not JSON; write a list such as ["a", "b"]')


def stop(message: str) -> NoReturn:
    """End start-up: one line on standard error, and the status that says that the configuration is wrong."""
    sys.stderr.write(f"configuration error: {message}\n")
    raise SystemExit(2)


def explain(error: ValidationError) -> str:
    """One line for a settings error: the variable, what is wrong with it. Never the value: it may be a secret."""
    parts = []
    for item in error.errors(include_url=False, include_input=False):
        name = _variable(str(item["loc"][0])) if item["loc"] else "settings"
        message = item["msg"].removeprefix("Value error, ")
        parts.append(f"{name} is not set" if item["type"] == "missing" else f"{name}: {message}")
    return "; ".join(parts)


def _variable(field: str) -> str:
    return f"{Settings.model_config.get('env_prefix', '')}{field}".upper()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
