"""The sandbox's settings: where it listens, who may call it, what a run may use at most."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator

from kit.settings import Origin, Settings, is_loopback

MEBIBYTE = 1 << 20
_LOOPBACK_ORIGINS = ("http://127.0.0.1", "http://localhost", "http://[::1]")


def _twice_the_cores() -> int:
    return 2 * len(os.sched_getaffinity(0))


class LimitSettings(Settings):
    """What a run may use: unless it asks (``default``), and at most (``max``)."""

    sandbox_default_wall_seconds: PositiveFloat = 10.0
    sandbox_default_cpu_seconds: PositiveFloat = 10.0
    sandbox_default_memory_bytes: PositiveInt = 512 * MEBIBYTE
    sandbox_default_processes: PositiveInt = 64
    sandbox_default_output_bytes: PositiveInt = MEBIBYTE
    sandbox_default_disk_bytes: PositiveInt = 64 * MEBIBYTE

    sandbox_max_wall_seconds: PositiveFloat = 120.0
    sandbox_max_cpu_seconds: PositiveFloat = 240.0
    sandbox_max_memory_bytes: PositiveInt = 4096 * MEBIBYTE
    sandbox_max_processes: PositiveInt = 256
    sandbox_max_output_bytes: PositiveInt = 16 * MEBIBYTE
    sandbox_max_disk_bytes: PositiveInt = 512 * MEBIBYTE

    @model_validator(mode="after")
    def _defaults_are_within_maxima(self) -> Self:
        for field in LimitSettings.model_fields:
            if field.startswith("sandbox_default_"):
                default, most = getattr(self, field), getattr(self, field.replace("_default_", "_max_"))
                if default > most:
                    raise ValueError(f"ASTROLABE_{field.upper()} = {default} is over its maximum of {most}")
        return self


class SandboxSettings(LimitSettings):
    """Everything the service reads from its environment. Nothing of it reaches a jail."""

    sandbox_host: str = "127.0.0.1"
    sandbox_port: int = Field(default=8003, ge=0, le=65535)
    sandbox_token: SecretStr | None = None

    sandbox_uid: PositiveInt = 64001
    sandbox_python: Path | None = None
    sandbox_bubblewrap: str = "bwrap"
    sandbox_backend: Literal["bubblewrap", "docker"] = "bubblewrap"
    sandbox_cgroups: Literal["auto", "off", "required"] = "auto"
    sandbox_landlock: Literal["auto", "off", "required"] = "auto"
    sandbox_least_tier: Literal["standard", "hardened"] = "standard"
    sandbox_preload: list[str] = Field(default=[])
    sandbox_pool_size: NonNegativeInt = Field(default_factory=_twice_the_cores)
    sandbox_template_jails: PositiveInt = 5000

    sandbox_docker_host: str | None = None
    sandbox_docker_image: str = "astrolabe-guest"
    sandbox_docker_runtime: str | None = None
    sandbox_docker_seccomp: Path | None = None

    sandbox_concurrency: PositiveInt = Field(default_factory=_twice_the_cores)
    sandbox_queue_size: NonNegativeInt = 64
    sandbox_queue_seconds: PositiveFloat = 30.0

    sandbox_start_seconds: PositiveFloat = 10.0
    sandbox_tmp_bytes: PositiveInt = 64 * MEBIBYTE
    sandbox_shm_bytes: PositiveInt = 64 * MEBIBYTE
    sandbox_result_bytes: PositiveInt = MEBIBYTE
    sandbox_inodes: PositiveInt = 16384
    sandbox_collect_files: PositiveInt = 32
    sandbox_collect_bytes: PositiveInt = 8 * MEBIBYTE
    sandbox_collect_seconds: PositiveFloat = 5.0

    sandbox_max_sessions: NonNegativeInt = 32
    sandbox_default_session_idle_seconds: PositiveFloat = 300.0
    sandbox_max_session_idle_seconds: PositiveFloat = 3600.0
    sandbox_default_session_total_seconds: PositiveFloat = 3600.0
    sandbox_max_session_total_seconds: PositiveFloat = 86400.0

    sandbox_tool_origins: list[Origin] | None = None
    sandbox_max_tool_seconds: PositiveFloat = 60.0
    sandbox_max_tool_calls: PositiveInt = 100

    @field_validator("sandbox_token")
    @classmethod
    def _an_empty_token_is_none(cls, token: SecretStr | None) -> SecretStr | None:
        return token if token is not None and token.get_secret_value() else None

    @field_validator("sandbox_preload")
    @classmethod
    def _preloaded_are_modules(cls, names: list[str]) -> list[str]:
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                raise ValueError(f"{name!r} is not the name of a Python module")
        return names

    def tool_origins(self) -> list[str]:
        """Where tools may live: as set; else loopback in development, and nowhere in production."""
        if self.sandbox_tool_origins is not None:
            return self.sandbox_tool_origins
        return [*_LOOPBACK_ORIGINS] if self.profile == "development" else []

    @model_validator(mode="after")
    def _only_loopback_in_development_goes_without_a_token(self) -> Self:
        if self.sandbox_token is None and not (self.profile == "development" and is_loopback(self.sandbox_host)):
            raise ValueError(
                f"ASTROLABE_SANDBOX_TOKEN must be set: only a service bound to loopback in the development profile "
                f"runs without one (host {self.sandbox_host}, profile {self.profile})"
            )
        return self
