"""The committed schemas say what the services do, and show an example of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "openapi").glob("*.json"))}


def bodies(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each body that an operation takes or gives: where, the media type, its description."""
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{where} request", media_type, content
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    yield f"{where} {status}", media_type, content


def test_the_committed_schemas_are_those_of_the_code() -> None:
    command = [sys.executable, "tooling/openapi.py", "--check"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_each_service_has_one() -> None:
    assert set(SCHEMAS) == {"planner", "codetree", "sandbox"}


@pytest.mark.parametrize("service", SCHEMAS)
def test_every_body_has_an_example_that_keeps_its_schema(service: str) -> None:
    schema = SCHEMAS[service]
    wanting, wrong = [], []
    for where, media_type, content in bodies(schema):
        if media_type == "application/x-ndjson":
            # Schemathesis cannot write it; the array of the same requests is shown beside it.
            continue
        if "example" not in content:
            wanting.append(f"{where} {media_type}")
        elif media_type.endswith("json"):
            rule = {**content.get("schema", {}), "components": schema["components"]}
            wrong += [
                f"{where}: {error.message}"
                for error in jsonschema_rs.validator_for(rule).iter_errors(content["example"])
            ]
    assert not wanting
    assert not wrong


@pytest.mark.parametrize("service", SCHEMAS)
def test_every_operation_is_described_with_its_errors(service: str) -> None:
    for path, operations in SCHEMAS[service]["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert all(response["description"] for response in operation["responses"].values()), (method, path)
            if path not in {"/livez", "/readyz"}:
                assert {"401", "422", "503"} <= set(operation["responses"]), (method, path)
