"""`python -m planner calibration-body`: a table of runs becomes the body of a POST /calibrations."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.planner.validation_rows import row, write_table
from typer.testing import CliRunner

from planner.__main__ import app
from planner.calibration.answer import calibrate
from planner.calibration.schemas import CalibrationRequest

if TYPE_CHECKING:
    from pathlib import Path

    from planner.validation.rows import Row

RUNS = [
    row(id="slow", tp="2", pp="2", iter_time_s_best="10.0", peak_mem_gb="40"),
    row(id="wide", tp="4", pp="1", iter_time_s_best="11.0"),
    row(id="deep", tp="1", pp="4", iter_time_s_best="12.0"),
]
runner = CliRunner()


def body_of(folder: Path, rows: list[Row], *options: str) -> tuple[int, str, str]:
    result = runner.invoke(app, ["calibration-body", write_table(folder / "rows.csv", *rows), *options])
    return result.exit_code, result.stdout, result.stderr


def test_rows_become_a_body_that_the_service_fits(tmp_path: Path) -> None:
    code, body, _ = body_of(tmp_path, RUNS, "--name", "mine")
    assert code == 0
    request = CalibrationRequest.model_validate_json(body)
    assert (request.name, request.stack) == ("mine", "megatron-core")
    assert [run.iteration_seconds for run in request.runs] == [10.0, 11.0, 12.0]
    assert [run.peak_bytes for run in request.runs] == [40e9, None, None]
    assert [run.strategy.tensor_parallel for run in request.runs] == [2, 4, 1]
    assert calibrate(request).gpu == "a100-80gb-sxm"


def test_what_is_left_out_or_assumed_is_said_apart_from_the_body(tmp_path: Path) -> None:
    rows = [*RUNS, row(id="adapters", task="lora"), row(id="silent", recompute="")]
    code, body, said = body_of(tmp_path, rows)
    assert code == 0
    assert len(json.loads(body)["runs"]) == 4
    assert "left out 1, adapters: task: 'lora'" in said
    assert "noted on 1, silent: recompute: not stated" in said


def test_runs_of_several_gpus_are_chosen_from(tmp_path: Path) -> None:
    rows = [*RUNS, row(id="other", gpu_type="H100")]
    code, _, said = body_of(tmp_path, rows)
    assert code == 2
    assert "a100-80gb-sxm (3), h100-80gb-sxm (1); choose one with --gpu" in said
    code, body, _ = body_of(tmp_path, rows, "--gpu", "a100-80")
    assert code == 0
    assert len(json.loads(body)["runs"]) == 3


def test_runs_of_several_stacks_need_one_to_start_from(tmp_path: Path) -> None:
    rows = [*RUNS, row(id="other", framework="torchtitan")]
    code, _, said = body_of(tmp_path, rows)
    assert code == 2
    assert "megatron-core (3), fsdp (1)" in said
    assert "--stack megatron-core|" in said
    code, body, _ = body_of(tmp_path, rows, "--stack", "fsdp")
    assert (code, json.loads(body)["stack"]) == (0, "fsdp")


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (2, [], "2 of 2 runs are usable; a calibration takes 3 to 50"),
        (51, [], "51 of 51 runs are usable"),
        (3, ["--gpu", "h100"], "0 of 3 runs are usable on h100-80gb-sxm"),
        (3, ["--gpu", "a1000"], "--gpu: unknown GPU 'a1000'"),
        (3, ["--name", ""], "--name: "),
    ],
)
def test_what_makes_no_body_is_one_line(tmp_path: Path, count: int, options: list[str], said: str) -> None:
    rows = [row(id=f"run-{number}") for number in range(count)]
    code, body, refused = body_of(tmp_path, rows, *options)
    assert (code, body) == (2, "")
    assert said in refused.splitlines()[-1]
