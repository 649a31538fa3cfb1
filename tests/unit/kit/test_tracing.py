from __future__ import annotations

import subprocess
import sys

from kit import tracing
from kit.settings import Settings

# In a process of its own: what another test has imported does not count.
PROBE = """
import sys
from fastapi import FastAPI
from kit import log, tracing
from kit.settings import Settings
settings = Settings()
log.configure(settings, "probe")
app = FastAPI(telemetry=tracing.fastapi_options(settings))
with tracing.job_span("job", None, {}):
    assert tracing.traceparent() is None
print(app._native_telemetry.enabled(), any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""


def test_without_an_endpoint_nothing_is_recorded_and_the_sdk_is_not_even_imported() -> None:
    told = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


def test_an_empty_endpoint_is_none() -> None:
    assert Settings(otlp_endpoint="").otlp_endpoint is None  # type: ignore[arg-type]


def test_probes_are_not_traced() -> None:
    exclude = tracing.fastapi_options(Settings())["exclude"]
    assert exclude is not None
    assert [exclude({"path": path}) for path in ("/livez", "/readyz", "/metrics", "/plans")] == [
        True,
        True,
        True,
        False,
    ]
