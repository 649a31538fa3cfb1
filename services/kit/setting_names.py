"""The names of all parts' settings: one environment serves the whole stack, and a misspelt name is ignored silently."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "ASTROLABE_"
OF_NO_SERVICE = frozenset(
    ["API_KEY", "CODETREE_URL", "DATA_DIR", "GRAFANA_PASSWORD", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "WEBHOOK_SECRET"]
)
"""What clients, examples, development and the compose file read."""
OF_SERVICES = frozenset(
    [
        "BATCH_MAX_BYTES",
        "BATCH_MAX_LINES",
        "CODETREE_HOST",
        "CODETREE_PORT",
        "CODETREE_WORKER_HOST",
        "CODETREE_WORKER_PORT",
        "DATABASE_POOL_SIZE",
        "DATABASE_URL",
        "EPISODES_PER_WORKER",
        "EPISODE_CONCURRENCY",
        "HEARTBEAT_SECONDS",
        "JOB_TIME_LIMIT_SECONDS",
        "KEEP_AUDIT_DAYS",
        "KEEP_DELIVERIES_DAYS",
        "KEEP_EVENTS_DAYS",
        "KEEP_IDEMPOTENCY_KEYS_DAYS",
        "KEEP_JOBS_DAYS",
        "LEASE_SECONDS",
        "LLM_API_KEY",
        "LLM_BASE_URL",
        "LLM_INPUT_USD_PER_MILLION",
        "LLM_MAX_ATTEMPTS",
        "LLM_MODEL",
        "LLM_OUTPUT_USD_PER_MILLION",
        "LLM_TIMEOUT_SECONDS",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MAX_ATTEMPTS",
        "MAX_BODY_BYTES",
        "MODELS_FILE",
        "OTLP_ENDPOINT",
        "PLANNER_API_KEY",
        "PLANNER_HOST",
        "PLANNER_PORT",
        "PLANNER_URL",
        "PLAN_CACHE_SECONDS",
        "PLAN_SPLIT_LAYOUTS",
        "PROFILE",
        "PRUNE_INTERVAL_SECONDS",
        "RATE_LIMIT",
        "RATE_LIMIT_WITHOUT_KEY",
        "REDIS_URL",
        "RELAY_INTERVAL_SECONDS",
        "SANDBOX_BACKEND",
        "SANDBOX_BUBBLEWRAP",
        "SANDBOX_CGROUPS",
        "SANDBOX_COLLECT_BYTES",
        "SANDBOX_COLLECT_FILES",
        "SANDBOX_COLLECT_SECONDS",
        "SANDBOX_CONCURRENCY",
        "SANDBOX_DEFAULT_CPU_SECONDS",
        "SANDBOX_DEFAULT_DISK_BYTES",
        "SANDBOX_DEFAULT_MEMORY_BYTES",
        "SANDBOX_DEFAULT_OUTPUT_BYTES",
        "SANDBOX_DEFAULT_PROCESSES",
        "SANDBOX_DEFAULT_SESSION_IDLE_SECONDS",
        "SANDBOX_DEFAULT_SESSION_TOTAL_SECONDS",
        "SANDBOX_DEFAULT_WALL_SECONDS",
        "SANDBOX_DOCKER_HOST",
        "SANDBOX_DOCKER_IMAGE",
        "SANDBOX_DOCKER_RUNTIME",
        "SANDBOX_DOCKER_SECCOMP",
        "SANDBOX_HOST",
        "SANDBOX_INODES",
        "SANDBOX_LANDLOCK",
        "SANDBOX_LEAST_TIER",
        "SANDBOX_MAX_ATTEMPTS",
        "SANDBOX_MAX_CPU_SECONDS",
        "SANDBOX_MAX_DISK_BYTES",
        "SANDBOX_MAX_MEMORY_BYTES",
        "SANDBOX_MAX_OUTPUT_BYTES",
        "SANDBOX_MAX_PROCESSES",
        "SANDBOX_MAX_SESSIONS",
        "SANDBOX_MAX_SESSION_IDLE_SECONDS",
        "SANDBOX_MAX_SESSION_TOTAL_SECONDS",
        "SANDBOX_MAX_TOOL_CALLS",
        "SANDBOX_MAX_TOOL_SECONDS",
        "SANDBOX_MAX_WALL_SECONDS",
        "SANDBOX_POOL_SIZE",
        "SANDBOX_PORT",
        "SANDBOX_PRELOAD",
        "SANDBOX_PYTHON",
        "SANDBOX_QUEUE_SECONDS",
        "SANDBOX_QUEUE_SIZE",
        "SANDBOX_RESULT_BYTES",
        "SANDBOX_SHM_BYTES",
        "SANDBOX_START_SECONDS",
        "SANDBOX_TEMPLATE_JAILS",
        "SANDBOX_TMP_BYTES",
        "SANDBOX_TOKEN",
        "SANDBOX_TOOL_ORIGINS",
        "SANDBOX_UID",
        "SANDBOX_URL",
        "TOOL_GATEWAY_URL",
        "TOOL_ORIGINS",
        "VISIBILITY_TIMEOUT_SECONDS",
        "WEBHOOK_ALLOW_PRIVATE",
        "WORKER_CONCURRENCY",
    ]
)
"""The fields of the services' settings classes, which a test compares with these: kit knows no service."""
_CHOSEN_BY_USERS = ("SECRET_", "TEST_")
_ALIKE = 0.6


def unknown_settings(environment: Iterable[str] = os.environ) -> str | None:
    """One line on the variables that look like settings and are none, each with the nearest that is; None if none."""
    known = sorted(OF_SERVICES | OF_NO_SERVICE)
    names = sorted(name.upper().removeprefix(PREFIX) for name in environment if name.upper().startswith(PREFIX))
    wrong = [name for name in names if name not in known and not name.startswith(_CHOSEN_BY_USERS)]
    return "; ".join(_described(name, known) for name in wrong) or None


def _described(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=_ALIKE)
    remedy = f"did you mean {PREFIX}{nearest[0]}?" if nearest else "docs/settings.md lists those there are"
    return f"{PREFIX}{name} is no setting and is ignored: {remedy}"
