"""Settings of the codetree service and its workers."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, field_validator

from codetree.engine.values import Price
from kit.settings import HttpAddress, JobSettings, Origin, Settings

SERVICE = "codetree"


class CodetreeSettings(Settings):
    """Which model writes programs, and where they are run.

    A price that is not set is unknown, not zero: episodes with a money limit are then refused.
    """

    codetree_host: str = "127.0.0.1"
    codetree_port: int = Field(default=8002, ge=1, le=65535)

    llm_base_url: HttpAddress | None = None
    llm_api_key: SecretStr | None = None
    llm_model: str | None = None
    llm_timeout_seconds: PositiveFloat = 120.0
    llm_max_attempts: PositiveInt = Field(default=4, le=10)
    llm_input_usd_per_million: float | None = Field(default=None, ge=0)
    llm_output_usd_per_million: float | None = Field(default=None, ge=0)

    models_file: Path | None = None

    sandbox_url: HttpAddress = "http://127.0.0.1:8003"
    sandbox_token: SecretStr | None = None
    sandbox_max_attempts: PositiveInt = Field(default=6, le=20)

    codetree_worker_host: str = "127.0.0.1"
    codetree_worker_port: int = Field(default=0, ge=0, le=65535)
    tool_gateway_url: HttpAddress | None = None
    planner_url: HttpAddress = "http://127.0.0.1:8001"
    planner_api_key: SecretStr | None = None

    tool_origins: tuple[Origin, ...] = ()
    episode_concurrency: PositiveInt = Field(default=8, le=64)
    episodes_per_worker: PositiveInt = Field(default=32, le=1024)

    @field_validator(
        "llm_base_url",
        "llm_api_key",
        "llm_model",
        "llm_input_usd_per_million",
        "llm_output_usd_per_million",
        "models_file",
        "sandbox_token",
        "tool_gateway_url",
        "planner_api_key",
        mode="before",
    )
    @classmethod
    def _empty_is_not_set(cls, value: Any) -> Any:
        """Compose files pass a variable that nobody set as an empty text."""
        return None if value == "" else value

    @property
    def llm_price(self) -> Price | None:
        """What ``llm_model`` costs, if that is known."""
        if self.llm_input_usd_per_million is None or self.llm_output_usd_per_million is None:
            return None
        return Price(self.llm_input_usd_per_million, self.llm_output_usd_per_million)


class CodetreeServiceSettings(CodetreeSettings, JobSettings):
    """Everything the API and its workers need."""
