"""OpenTelemetry: one trace from a request through its job to what the job calls; off unless an endpoint is set.

A request's span is FastAPI's own. Its ``traceparent`` (W3C Trace Context) is kept in the job's row, so that the worker
goes on with the trace whichever attempt it is; clients that ``instrument`` was called for carry it further.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from contextlib import AbstractContextManager

    import httpx
    from fastapi.telemetry import TelemetryConfig
    from structlog.typing import EventDict, WrappedLogger

    from kit.settings import Settings

_EXPORT_EVERY_MS = 1000
_QUIET_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
_TRACEPARENT = "traceparent"
_W3C = TraceContextTextMapPropagator()


class _State:
    """Whether this process records spans."""

    on = False


def configure(settings: Settings, service: str) -> None:
    """Send this process's spans to ``settings.otlp_endpoint``; nothing is imported or recorded without one."""
    if settings.otlp_endpoint is None or _State.on:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: f"astrolabe-{service}"}))
    exporter = OTLPSpanExporter(endpoint=f"{str(settings.otlp_endpoint).rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_EXPORT_EVERY_MS))
    trace.set_tracer_provider(provider)
    _State.on = True


def fastapi_options(settings: Settings) -> TelemetryConfig:
    """FastAPI's ``telemetry``: a span for each request, and nothing of its contents."""
    return {
        "tracing": settings.otlp_endpoint is not None,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": _is_quiet,
    }


def _is_quiet(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in _QUIET_PATHS


def instrument(client: httpx.AsyncClient) -> None:
    """Record a span for each request of ``client``, and tell its server the trace.

    Not for clients whose addresses are secrets, as those of webhooks may be.
    """
    if _State.on:
        from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415

        HTTPXClientInstrumentor.instrument_client(client)


def traceparent() -> str | None:
    """The current span as a ``traceparent``, to be kept with a job; None when nothing is recorded."""
    if not _State.on:
        return None
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return carrier.get(_TRACEPARENT)


def job_span(name: str, parent: str | None, attributes: Mapping[str, str | int | float]) -> AbstractContextManager[Any]:
    """A span for one attempt at a job, below the request that asked for it."""
    if not _State.on:
        return nullcontext()
    context = _W3C.extract({_TRACEPARENT: parent} if parent else {})
    tracer = trace.get_tracer("astrolabe")
    return tracer.start_as_current_span(name, context, SpanKind.CONSUMER, attributes=dict(attributes))


def add_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: the trace that a log line belongs to."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
