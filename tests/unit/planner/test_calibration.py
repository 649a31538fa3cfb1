"""Calibrations: adjusted within bounds, fitted to runs, and measured on a device."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.planner.validation_rows import row
from typer.testing import CliRunner

from planner.__main__ import app
from planner.calibration.answer import calibrate
from planner.calibration.defaults import render
from planner.calibration.fit import solve
from planner.calibration.profile import Sample, fit_saturation, fragment
from planner.calibration.runs import PricedRun
from planner.calibration.schemas import CalibrationRequest, MeasuredRun
from planner.catalog import UnknownNameError
from planner.catalog.calibrations import ADJUSTABLE, BOUNDS, STACKS, adjusted, base_calibration, calibration_for
from planner.engine import InvalidRequest
from planner.validation.convert import PricedCase, case_of

HAS_TORCH = importlib.util.find_spec("torch") is not None


@given(st.dictionaries(st.sampled_from(ADJUSTABLE), st.floats(1e-3, 1e3)))
def test_no_factor_leaves_what_software_can_reach(factors: dict[str, float]) -> None:
    calibration = adjusted(base_calibration("hopper"), factors)
    for name, (low, high) in BOUNDS.items():
        value = getattr(calibration, name)
        for part in value.values() if isinstance(value, dict) else [value]:
            assert low <= part <= high


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="gem_16"):
        adjusted(base_calibration("hopper"), {"gem_16": 1.1})
    with pytest.raises(UnknownNameError, match="megatron"):
        calibration_for("hopper", stack="megatron-cor")


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("generation", ["volta", "turing", "ampere", "ada", "hopper", "blackwell", "cdna3"])
def test_every_generation_has_a_calibration_under_every_stack(generation: str, stack: str) -> None:
    calibration = calibration_for(generation, stack=stack)
    assert 0 < calibration.memory < 1
    assert all(0 < part < 1 for part in calibration.gemm.values())


def test_the_fit_finds_what_made_the_rows_and_ignores_an_outlier() -> None:
    generator = np.random.default_rng(0)
    design, true = generator.uniform(0, 1, (40, 2)), np.array([0.3, -0.2])
    measured = design @ true
    measured[0] += 3.0
    fit = solve(lambda x: design @ x, measured, design, np.full(2, 0.5), np.ones(40), 0.08)
    assert fit.x == pytest.approx(true, abs=0.05)


def test_without_rows_that_say_otherwise_nothing_moves() -> None:
    design = np.zeros((3, 2))
    fit = solve(lambda x: design @ x, np.array([0.5, 0.4, 0.6]), design, np.full(2, 0.5), np.ones(3), 0.08)
    assert fit.x == pytest.approx([0, 0])


def runs(slower: float, count: int = 5) -> list[MeasuredRun]:
    measured = []
    for tensor, micro in [(1, 1), (2, 2), (4, 1), (8, 4), (2, 4), (4, 4)][:count]:
        run = case_of(row(tp=str(tensor), dp=str(8 // tensor), micro_batch=str(micro), pp="2")).run
        priced = PricedRun(run)
        measured.append(
            MeasuredRun(
                model=run.model,
                workload=run.workload,
                cluster=run.cluster,
                strategy=run.strategy,
                iteration_seconds=priced.seconds() * slower,
                peak_bytes=priced.estimate().memory.peak + 3e9,
            )
        )
    return measured


@settings(max_examples=5, deadline=None)
@given(st.floats(0.75, 1.35))
def test_runs_of_a_site_pull_the_model_to_it(slower: float) -> None:
    result = calibrate(CalibrationRequest(runs=runs(slower)))
    assert result.errors.after <= result.errors.before + 0.01
    assert result.errors.after < 0.08


def test_peaks_that_are_stated_move_the_memory_model() -> None:
    result = calibrate(CalibrationRequest(runs=runs(1.0)))
    assert result.memory is not None
    assert result.memory.after < result.memory.before
    assert result.factors["framework_gib"] > 1.5


def test_a_run_that_cannot_be_laid_out_is_named() -> None:
    bad = runs(1.0, 3)
    bad[1] = bad[1].model_copy(update={"strategy": bad[1].strategy.model_copy(update={"tensor_parallel": 3})})
    with pytest.raises(InvalidRequest) as caught:
        calibrate(CalibrationRequest(runs=bad))
    assert caught.value.field.startswith("runs.1.strategy")


def test_runs_on_two_gpu_types_are_refused() -> None:
    mixed = runs(1.0, 3)
    mixed[2] = mixed[2].model_copy(update={"cluster": mixed[2].cluster.model_copy(update={"gpu": "h100"})})
    with pytest.raises(InvalidRequest, match="h100"):
        calibrate(CalibrationRequest(runs=mixed))


def test_written_factors_leave_out_what_does_not_move() -> None:
    text = render({("stack", "fsdp"): {"gemm_16": 1.001, "memory": 0.8}, ("source", "one"): {"memory": 0.5}})
    assert text == '\n[[stack]]\nname = "fsdp"\nmemory = 0.800\n'


def test_a_measured_case_uses_its_own_stack() -> None:
    assert PricedCase(case_of(row(framework="llm-foundry/Composer FSDP"))).default == calibration_for(
        "ampere", "a100-80gb-sxm", "fsdp"
    )


@given(st.floats(0.3, 0.95), st.floats(30, 900))
def test_saturation_is_recovered_from_rates(top: float, half: float) -> None:
    depth = np.array([256, 512, 1024, 2048, 4096, 8192])
    found, at = fit_saturation(depth, 1e15 * top * depth / (depth + half))
    assert found == pytest.approx(1e15 * top, rel=0.01)
    assert at == pytest.approx(half, rel=0.05)


def test_a_profile_becomes_a_fragment_in_fractions_of_the_peaks() -> None:
    samples = [Sample("gemm", 8e14 * depth / (depth + 100), 1.0, depth) for depth in (256, 1024, 8192)]
    samples += [Sample("attention", 5e14, 1.0), Sample("copy", 2e12, 1.0), Sample("norm", 3e12, 1.0)]
    text = fragment(samples, name="hopper", peak_flops=1e15, memory_rate=3e12)
    assert 'gemm = { "16" = 0.799 }' in text
    assert "attention_forward = 0.5\n" in text
    assert "memory = 0.833" in text


@pytest.mark.skipif(HAS_TORCH, reason="PyTorch is installed")
def test_profiling_without_pytorch_says_what_to_install() -> None:
    result = CliRunner().invoke(app, ["profile"])
    assert result.exit_code == 2
    assert "PyTorch is not installed" in result.stderr


@pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed")
def test_profiling_runs_on_a_cpu() -> None:
    result = CliRunner().invoke(app, ["profile", "--device", "cpu", "--scale", "64"])
    assert result.exit_code == 0
    assert "[[calibration]]" in result.stdout
