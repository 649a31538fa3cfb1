"""Structured logs: one line an event, with the request or job it belongs to."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, cast

import structlog

from kit import tracing
from kit.setting_names import unknown_settings

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger, Processor

    from kit.settings import Settings


def configure(settings: Settings, service: str) -> None:
    """Send structlog and the standard library's loggers through one renderer on standard error; start tracing.

    The first line warns of what looks like a setting in the environment and is none.
    """
    tracing.configure(settings, service)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        *([tracing.add_trace_id] if settings.otlp_endpoint else []),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings.log_format, shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("httpx", "httpcore", "uvicorn.access", "alembic.runtime.plugins"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(service=service)
    if (unknown := unknown_settings()) is not None:
        get_logger(__name__).warning(unknown)


def _formatter(log_format: str, shared: list[Processor]) -> logging.Formatter:
    renderer: Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
        exceptions: list[Processor] = [structlog.processors.dict_tracebacks]
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        exceptions = []
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *exceptions, renderer],
    )


def get_logger(name: str, **context: Any) -> FilteringBoundLogger:
    """A logger that carries ``context`` on every line."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name, **context))
