"""Rows of measurements: read, refused with their reason, predicted, ranked."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.planner.validation_rows import row, write_table
from typer.testing import CliRunner

from planner.__main__ import app
from planner.calibration.defaults import measurements_path
from planner.validation.convert import PricedCase, case_of, network_gbps, warnings_of
from planner.validation.holdout import medoids
from planner.validation.metrics import Prediction, errors_of
from planner.validation.ranking import rank_groups, spearman
from planner.validation.report import ranking_of
from planner.validation.rows import InexpressibleError, Row, read_rows
from planner.validation.stacks import stack_of


def table(folder: Path, *rows: Row) -> str:
    return write_table(folder / "rows.csv", *rows)


def test_a_row_becomes_the_question_it_describes() -> None:
    run = case_of(row(vpp="2", sequence_parallel="1", overlap="TP ubuf overlap, DP grad+param overlap")).run
    strategy = run.strategy
    assert (strategy.tensor_parallel, strategy.pipeline_parallel, strategy.virtual_pipeline) == (2, 2, 2)
    assert strategy.sharding == "zero1"
    assert strategy.sequence_parallel
    assert strategy.tp_overlap
    assert run.cluster.gpu == "a100"
    assert run.seconds == 10.0
    assert PricedCase(case_of(row())).seconds() > 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iter_time_s_best": ""}, "iter_time_s_best: missing"),
        ({"heads": ""}, "heads: missing"),
        ({"heads": "many"}, "heads: 'many' is not a number"),
        ({"layers": "1.5"}, "layers: 1.5 is not a whole number"),
        ({"dp": "8"}, "dp: tp x pp x cp x dp = 32, num_gpus says 16"),
        ({"global_batch": "66"}, "micro_batch: 1 x dp 4 does not divide"),
        ({"task": "lora"}, "task: 'lora'"),
        ({"precision": "int4"}, "precision: 'int4'"),
        ({"zero_stage": "7"}, "zero_stage: '7'"),
        ({"attn_type": "", "heads": ""}, "attn_type"),
        ({"gpu_type": "RTX-2080+Titan", "hetero_json": "[]"}, "hetero_json"),
        ({"gpu_type": "TPUv4"}, "cluster.gpu"),
    ],
)
def test_what_cannot_be_expressed_says_why(changes: dict[str, str], says: str) -> None:
    with pytest.raises(InexpressibleError, match=says.replace("+", r"\+")):
        PricedCase(case_of(row(**changes)))


def test_latent_attention_recomputes_its_up_projection_before_anything_dear() -> None:
    rows = [one for one in read_rows(measurements_path()) if one.text("attn_type") == "MLA"]
    assumed = {PricedCase(case_of(one)).assumed for one in rows if one.text("gpu_type") == "GB300"}
    assert any("mla_up_proj" in text for text in assumed)
    assert not any("full" in text for text in assumed)


@pytest.mark.parametrize(
    ("text", "node", "gigabytes"),
    [
        ("IB NDR 400Gb/s per GPU (DGX reference; not restated per row)", 8, 50.0),
        ("800Gb/s per GPU (DGX reference)", 4, 100.0),
        ("4x Omni-Path links per node (verified; 100Gb/s each recalled)", 8, 6.25),
        ("1600Gbps RoCE node-to-node (8 GPU node)", 8, 25.0),
        ("IB HDR 800Gb/s per node (paper: 4x200Gb/s)", 8, 12.5),
        ("8x IB HDR 200Gb/s (Selene)", 8, 25.0),
        ("Slingshot-11 200Gb/s per GPU (Alps Clariden)", 4, 25.0),
        ("not stated", 8, None),
        ("", 8, None),
    ],
)
def test_the_network_is_read_from_its_text(text: str, node: int, gigabytes: float | None) -> None:
    assert network_gbps(text, node) == gigabytes


@pytest.mark.parametrize(
    ("framework", "stack"),
    [
        ("Megatron-Bridge/NeMo 26.04", "megatron-core"),
        ("Megatron-DeepSpeed (vTrain)", "megatron-legacy"),
        ("llm-foundry/Composer FSDP", "fsdp"),
        ("MaxText (JAX) dgxc v24.11.1", "jax"),
        ("something new", "megatron-core"),
    ],
)
def test_frameworks_have_stacks(framework: str, stack: str) -> None:
    assert stack_of(framework).name == stack


def test_a_row_that_states_heads_need_not_name_its_attention() -> None:
    stated, silent = row(attn_type="MHA"), row(attn_type="")
    assert PricedCase(case_of(silent)).seconds() == PricedCase(case_of(stated)).seconds()
    assert "attn_type" in warnings_of(silent)[0]


def test_contradictions_that_do_not_matter_are_warned_of() -> None:
    assert warnings_of(row(tokens_per_s_per_gpu="1638.4")) == []
    assert "implies" in warnings_of(row(tokens_per_s_per_gpu="800"))[0]


def test_errors_are_fractions() -> None:
    errors = errors_of([0.04, -0.08, 0.15, -0.5])
    assert errors["mape"] == pytest.approx(0.1925)
    assert errors["median_ape"] == pytest.approx(0.115)
    assert (errors["within_5"], errors["within_10"], errors["within_20"]) == (0.25, 0.5, 0.75)
    assert errors["bias"] == pytest.approx(-0.0975)


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=20, unique=True))
def test_rank_correlation_is_one_with_itself_and_minus_one_reversed(values: list[float]) -> None:
    numbers = np.array(values)
    assert spearman(numbers, numbers) == pytest.approx(1)
    assert spearman(numbers, -numbers) == pytest.approx(-1)


def test_regret_is_what_the_first_choice_loses() -> None:
    measured = [10.0, 11.0, 12.0, 13.0, 14.0]
    cases = [case_of(row(iter_time_s_best=str(value), micro_batch=str(2**at))) for at, value in enumerate(measured)]
    predicted = [12.0, 9.0, 13.0, 14.0, 15.0]
    (group,) = rank_groups([Prediction(case, value) for case, value in zip(cases, predicted, strict=True)])
    assert group.ranked == group.plans == 5
    assert group.regret == pytest.approx(0.1)
    assert group.spearman == pytest.approx(0.9)


def test_rows_that_repeat_a_plan_on_one_release_are_one_run() -> None:
    sizes, measured = (1, 2, 4, 8, 16, 16, 16), (10.0, 11.0, 12.0, 13.0, 9.0, 14.0, 15.0)
    cases = [
        case_of(row(iter_time_s_best=str(seconds), micro_batch=str(size)))
        for size, seconds in zip(sizes, measured, strict=True)
    ]
    (group,) = rank_groups([Prediction(case, float(size)) for case, size in zip(cases, sizes, strict=True)])
    assert (group.ranked, group.plans) == (5, 5)
    assert group.spearman == pytest.approx(1.0)


def test_releases_are_runs_of_one_plan_and_equal_predictions_order_nothing() -> None:
    cases = [case_of(row(iter_time_s_best=f"1{month}", framework=f"NeMo 25.0{month}")) for month in range(1, 6)]
    predictions = [Prediction(case, 10.0) for case in cases]
    (group,) = rank_groups(predictions)
    assert (group.ranked, group.plans, group.spearman) == (5, 1, 0.0)
    means = ranking_of(predictions)
    assert (means["groups"], means["runs_of_one_precision"]["groups"], means["plans"]["groups"]) == (1, 1, 0)


def test_a_group_may_mix_precisions_but_not_by_the_stricter_reading() -> None:
    cases = [
        case_of(row(iter_time_s_best=str(10 + at), micro_batch=str(2**at), precision=precision))
        for at, precision in enumerate(("fp8", "fp8", "fp8", "bf16", "bf16"))
    ]
    predictions = [Prediction(case, case.run.seconds) for case in cases]
    (group,) = rank_groups(predictions)
    assert (group.ranked, group.spearman) == (5, pytest.approx(1.0))
    assert rank_groups(predictions, "runs of one precision") == []


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 1000))
def test_the_rule_picks_distinct_rows(points: int, count: int, seed: int) -> None:
    chosen = medoids(np.random.default_rng(seed).normal(size=(points, 3)), count)
    assert len(set(chosen)) == len(chosen) == min(points, count)


def test_validate_reports_every_row(tmp_path: Path) -> None:
    rows = [row(id=str(index), micro_batch=str(2**index), tp="2") for index in range(5)]
    path = table(tmp_path, *rows, row(id="bad", heads=""))
    report = json.loads(CliRunner().invoke(app, ["validate", path, "--json"]).stdout)
    assert report["rows"] == report["used"] + len(report["skipped"]) == 6
    assert report["skipped"] == [{"id": "bad", "reason": "heads: missing"}]
    assert set(report) >= {"mape", "median_ape", "within_5", "within_10", "within_20", "bias", "memory", "ranking"}
    assert set(report["by"]) == {"source", "gpu", "family", "tier"}
    assert report["predictions"][0]["measured"] == 10.0
    assert report["ranking"]["groups"] == 1


def test_calibrating_on_rows_predicts_the_others_better(tmp_path: Path) -> None:
    plans = [row(id=str(index), micro_batch=str(2**index)) for index in range(4)]
    plans += [row(id=f"tp{tensor}", tp=str(tensor), dp=str(8 // tensor)) for tensor in (1, 4, 8)]
    slow = [Row({**one.fields, "iter_time_s_best": str(PricedCase(case_of(one)).seconds() * 1.25)}) for one in plans]
    path = table(tmp_path, *slow)
    before, after = (
        json.loads(CliRunner().invoke(app, ["validate", path, "--json", *extra]).stdout)
        for extra in ([], ["--calibrate", "3"])
    )
    assert before["mape"] == pytest.approx(0.2)
    assert after["used"] == 4
    assert after["mape"] < 0.06


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n")
    result = CliRunner().invoke(app, ["validate", str(path)])
    assert result.exit_code == 2
    assert "missing columns" in result.stderr


def test_the_project_carries_measurements_with_their_sources() -> None:
    with measurements_path().open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > 700
    assert all(one["source"] and one["source_path"] for one in rows)
