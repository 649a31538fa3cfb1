from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.integration.astrolabe import samples

from astrolabe import Event, Plan
from astrolabe.cli.display import _Lines
from astrolabe.plans import Strategy
from astrolabe.render import units
from astrolabe.render.console import first_line, line
from astrolabe.render.plans import print_plan
from astrolabe.render.strategies import shorthand


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({}, "TP1 PP1 DP? mbs1"),
        (samples.candidate()["strategy"], "TP4 PP2 DP8 mbs2 SP recompute=selective ZeRO-1"),
        (
            {
                "data_parallel": 4,
                "virtual_pipeline": 3,
                "context_parallel": 2,
                "expert_parallel": 8,
                "sharding": "zero3",
            },
            "TP1 PP1 DP4 VP3 CP2 EP8 mbs1 ZeRO-3",
        ),
        (
            {
                "data_parallel": 1,
                "recompute": "selective",
                "recompute_modules": ["core_attn", "mlp"],
                "optimizer_offload": 0.5,
                "activation_offload": True,
            },
            "TP1 PP1 DP1 mbs1 recompute=selective(core_attn,mlp) offload=activations,optimizer(50%)",
        ),
        (
            {
                "data_parallel": 1,
                "recompute": "full",
                "recompute_layers": 4,
                "sharding": "later",
                "virtual_pipeline": 1,
            },
            "TP1 PP1 DP1 mbs1 recompute=full(4 layers) later",
        ),
        (
            {
                "data_parallel": 1,
                "schedule": "zero_bubble",
                "sharding": "zero2",
                "optimizer_offload": 1,
                "pipeline_split": "loss",
                "context_comm": "a2a",
                "attention": "unfused",
                "tp_overlap": True,
                "p2p_overlap": True,
                "grad_reduce_overlap": False,
                "param_gather_overlap": False,
            },
            (
                "TP1 PP1 DP1 mbs1 zero-bubble ZeRO-2 offload=optimizer split=loss cp=a2a attention=unfused "
                "tp-overlap p2p-overlap no-grad-overlap no-param-overlap"
            ),
        ),
    ],
)
def test_a_strategy_in_shorthand(strategy: dict[str, Any], expected: str) -> None:
    assert shorthand(Strategy.model_validate(strategy)) == expected


@given(st.text(), st.integers(10, 400))
def test_foreign_text_is_one_printable_line_of_bounded_length(text: str, limit: int) -> None:
    shown = line(text, limit)
    assert len(shown) <= limit
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in shown)
    assert len(shown.splitlines()) <= 1


def test_the_first_line_that_holds_anything() -> None:
    assert first_line("\n  \nValueError: no\nmore") == "ValueError: no"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("seconds", "expected"), [(None, "-"), (0.00125, "1.25 ms"), (4.5, "4.50 s"), (60, "60 s"), (86400.4, "86,400 s")]
)
def test_durations_have_the_precision_their_size_deserves(seconds: float | None, expected: str) -> None:
    assert units.seconds(seconds) == expected


@pytest.mark.parametrize(("usd", "expected"), [(0.00123, "$0.00123"), (12.5, "$12.5"), (1234567.8, "$1,234,568")])
def test_money(usd: float, expected: str) -> None:
    assert units.money(usd) == expected


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_plan_fits_its_terminal(width: int) -> None:
    target = io.StringIO()
    console = Console(file=target, width=width, force_terminal=True, color_system=None)
    print_plan(console, Plan.model_validate(samples.plan()))
    assert max(map(len, target.getvalue().splitlines())) <= width


def test_the_rules_that_dropped_most_are_named() -> None:
    dropped = {f"rule{number}": number for number in range(12)}
    target = io.StringIO()
    search = {**samples.SEARCH, "dropped": dropped}
    print_plan(Console(file=target, width=300), Plan.model_validate(samples.plan(search=search)))
    last = target.getvalue().splitlines()[-1]
    assert last.startswith("Dropped by rule: rule11 11, rule10 10, ")
    assert last.endswith("rule4 4, 3 other rules 6")


def test_prices_are_shown_where_they_are_known() -> None:
    money = {"usd": 12345.0, "usd_per_hour": 100.0, "hours": 123.0, "gpus": 64, "prices": {}}
    candidates = [{**samples.candidate(), "cost": money}, samples.candidate()]
    target = io.StringIO()
    print_plan(Console(file=target, width=300), Plan.model_validate(samples.plan(candidates=candidates)))
    header, priced, unpriced, *_ = target.getvalue().splitlines()
    assert header.split()[-2:] == ["Hours", "Money"]
    assert priced.split()[-2:] == ["123", "$12,345"]
    assert unpriced.split()[-2:] == ["-", "-"]


def test_plain_lines_tell_every_phase_but_not_every_step() -> None:
    target, now = io.StringIO(), [0.0]
    show = _Lines(Console(file=target, width=200), nodes=False, clock=lambda: now[0])
    for phase, completed, at in [("rules", 1, 0.0), ("cost", 1, 0.1), ("cost", 2, 0.2), ("cost", 3, 6.0)]:
        now[0] = at
        data = {"phase": phase, "completed": completed, "total": 9, "unit": "strategies"}
        show(Event.model_validate({"id": completed, "type": "job.progress", "data": data}))
    assert target.getvalue().splitlines() == ["rules: 1/9 strategies", "cost: 1/9 strategies", "cost: 3/9 strategies"]


def test_a_progress_of_an_unknown_shape_is_no_error() -> None:
    target = io.StringIO()
    show = _Lines(Console(file=target, width=200), nodes=True)
    show(Event.model_validate({"id": 1, "type": "job.progress", "data": {}}))
    show(Event.model_validate({"id": 2, "type": "job.requeued", "data": {"reason": "worker lost"}}))
    show(Event.model_validate({"id": 3, "type": "vote.updated", "data": {}}))
    assert target.getvalue().splitlines() == ["progress", "back in the queue: worker lost"]
