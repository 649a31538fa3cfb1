"""The sandbox's settings: where it listens, who may call it, what a run may use at most."""

from __future__ import annotations

import os
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, SecretStr, field_validator, model_validator

from kit.settings import Settings, is_loopback

MEBIBYTE = 1 << 20


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
    sandbox_cgroups: Literal["auto", "off", "required"] = "auto"

    sandbox_concurrency: PositiveInt = Field(default_factory=_twice_the_cores)
    sandbox_queue_size: NonNegativeInt = 64
    sandbox_queue_seconds: PositiveFloat = 30.0

    sandbox_start_seconds: PositiveFloat = 10.0
    sandbox_tmp_bytes: PositiveInt = 64 * MEBIBYTE
    sandbox_shm_bytes: PositiveInt = 64 * MEBIBYTE
    sandbox_result_bytes: PositiveInt = MEBIBYTE
    sandbox_collect_files: PositiveInt = 32
    sandbox_collect_bytes: PositiveInt = 8 * MEBIBYTE
    sandbox_collect_seconds: PositiveFloat = 5.0

    @field_validator("sandbox_token")
    @classmethod
    def _an_empty_token_is_none(cls, token: SecretStr | None) -> SecretStr | None:
        return token if token is not None and token.get_secret_value() else None

    @model_validator(mode="after")
    def _only_loopback_in_development_goes_without_a_token(self) -> Self:
        if self.sandbox_token is None and not (self.profile == "development" and is_loopback(self.sandbox_host)):
            raise ValueError(
                f"ASTROLABE_SANDBOX_TOKEN must be set: only a service bound to loopback in the development profile "
                f"runs without one (host {self.sandbox_host}, profile {self.profile})"
            )
        return self
