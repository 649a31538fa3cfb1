"""Settings of the planner service and its workers."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from kit.settings import JobSettings

SERVICE = "planner"


class PlannerSettings(JobSettings):
    """Where the API listens, how long the cache keeps results (Postgres does anyway), which searches are split."""

    planner_host: str = "127.0.0.1"
    planner_port: int = Field(default=8001, ge=1, le=65535)
    plan_cache_seconds: PositiveInt = 7 * 24 * 3600
    plan_split_layouts: PositiveInt = 800_000
