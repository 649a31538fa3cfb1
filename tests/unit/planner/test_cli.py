from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from planner.cli import app
from planner.engine import Estimate, PlanResult

BODY = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 64, "sequence_length": 2048},
    "cluster": {"gpu": "a100", "count": 8, "mode": "homogeneous"},
}
runner = CliRunner()


def request(folder: Path, body: object) -> str:
    path = folder / "request.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return str(path)


def test_search_prints_the_result_as_json(tmp_path: Path) -> None:
    result = runner.invoke(app, ["search", request(tmp_path, BODY), "--json"])
    assert result.exit_code == 0
    assert PlanResult.model_validate_json(result.stdout).best is not None


def test_search_reads_standard_input_and_prints_a_table() -> None:
    result = runner.invoke(app, ["search", "-"], input=json.dumps(BODY))
    assert result.exit_code == 0
    assert "llama-2-7b" in result.stdout
    assert "exact" in result.stdout


def test_estimate_prints_both_ways(tmp_path: Path) -> None:
    path = request(tmp_path, BODY | {"strategy": {"tensor_parallel": 4, "sequence_parallel": True}})
    as_json = runner.invoke(app, ["estimate", path, "--json"])
    assert Estimate.model_validate_json(as_json.stdout).feasible
    assert "iteration" in runner.invoke(app, ["estimate", path, "--explain"]).stdout


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "line 1"),
        ("[]", "request"),
        (BODY | {"cluster": {"gpu": "a101", "count": 8, "mode": "homogeneous"}}, "a101"),
        (BODY | {"cluster": {"gpu": "a100", "count": 7, "mode": "homogeneous"}}, "8 GPUs"),
        (BODY | {"workload": {"global_batch_size": -5, "sequence_length": 2048}}, "workload.global_batch_size"),
        (BODY | {"search": {"rules": ["tensor_parallel <"]}}, "column 18"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, body: object, says: str) -> None:
    result = runner.invoke(app, ["search", request(tmp_path, body)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    result = runner.invoke(app, ["search", str(tmp_path / "none.json")])
    assert result.exit_code == 2
    assert "none.json" in result.stderr
