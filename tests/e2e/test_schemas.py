"""Every endpoint of every service keeps its own schema under generated requests, in all of schemathesis' phases.

Stateful ones follow the ``Location`` of a 202. Server-sent events have tests of their own: they do not end in time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.stack import SERVICES, Stack

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("service", SERVICES)
def test_the_service_keeps_its_schema(stack: Stack, service: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url(service)}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--max-examples", "12", "--seed", "7", "--no-color"]
    command += ["--exclude-path-regex", "/events$", "--continue-on-failure", "--request-timeout", "60"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-8000:] + outcome.stderr[-2000:]


def test_every_operation_says_what_it_does(stack: Stack) -> None:
    for service in SERVICES:
        with stack.client(service) as client:
            schema = client.get("/openapi.json").json()
        operations = [operation for path in schema["paths"].values() for operation in path.values()]
        assert operations
        assert all(operation.get("summary") for operation in operations)
