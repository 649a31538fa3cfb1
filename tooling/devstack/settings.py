"""What a developer can set, as environment variables ``ASTROLABE_*``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003

from pydantic import Field, SecretStr

from kit.settings import Settings


class DevstackSettings(Settings):
    """Stores to use instead of the embedded ones, where data goes, and the ports of ``up``."""

    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    data_dir: Path | None = None
    planner_port: int = Field(default=8001, ge=1, le=65535)
    codetree_port: int = Field(default=8002, ge=1, le=65535)
    sandbox_port: int = Field(default=8003, ge=1, le=65535)

    def given_stores(self) -> dict[str, str | None]:
        """The stores somebody else runs, as keyword arguments of ``Stores``."""
        return {
            "database_url": self.database_url.get_secret_value() if self.database_url else None,
            "redis_url": self.redis_url.get_secret_value() if self.redis_url else None,
        }
