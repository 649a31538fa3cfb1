from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from planner.cli import app
from planner.engine import Estimate, PlanResult

BODY: dict[str, Any] = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 64, "sequence_length": 2048},
    "cluster": {"gpu": "a100", "count": 8, "mode": "homogeneous"},
}
MIXED: dict[str, Any] = BODY | {
    "cluster": {"mode": "heterogeneous", "total": 16, "limits": {"a100": 8, "h100": 8}},
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
        ("[]", "body"),
        (BODY | {"model": {}}, "model: names no model"),
        (BODY | {"cluster": {"gpu": "a100", "count": 8}}, "cluster: "),
        (BODY | {"cluster": {"gpu": "a100", "count": 0, "mode": "homogeneous"}}, "cluster.count: "),
        (BODY | {"serach": {}}, "serach: "),
        (MIXED | {"cluster": MIXED["cluster"] | {"total": 99}}, "cluster: limits sum to 16"),
        (MIXED | {"cluster": MIXED["cluster"] | {"limits": dict.fromkeys("abcdef", 8)}}, "cluster.limits: holds 6"),
        (MIXED | {"cluster": MIXED["cluster"] | {"links": {"v100": {}}}}, "cluster.links.v100: is no GPU type"),
        (MIXED | {"search": {"space": {"schedule": ["interleaved"]}}}, "search.space.schedule: excludes"),
        (MIXED | {"search": {"space": {"virtual_pipeline": [2, 4]}}}, "search.space.virtual_pipeline: excludes"),
        (MIXED | {"search": {"space": {"precision": ["fp8"]}}}, "search.space.precision: is chosen in homogeneous"),
        (MIXED | {"cluster": MIXED["cluster"] | {"limits": {"v100": 8, "h100": 8}}}, "leave v100-32gb-sxm out"),
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


def test_what_cannot_be_answered_still_succeeds_and_says_why(tmp_path: Path) -> None:
    tiny = BODY | {"model": {"preset": "gpt-3-175b"}, "cluster": BODY["cluster"] | {"count": 1}}
    result = runner.invoke(app, ["search", request(tmp_path, tiny), "--json"])
    assert result.exit_code == 0
    plan = PlanResult.model_validate_json(result.stdout)
    assert plan.candidates == []
    assert plan.reasons[0].rule == "memory"
    assert plan.reasons[0].bytes_over


def test_progress_is_for_terminals_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = request(tmp_path, BODY)
    assert runner.invoke(app, ["search", path]).stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = runner.invoke(app, ["search", path, "--json"])
    assert "layouts" in shown.stderr
    assert PlanResult.model_validate_json(shown.stdout).best is not None
