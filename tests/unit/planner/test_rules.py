from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engine.hardware import resolve_device
from planner.engine.inputs import LinkOverrides, Space
from planner.engine.model import from_preset
from planner.engine.problem import Problem
from planner.engine.rules import BUILTIN_RULES, Rule, RuleError, admit, parse_rule
from planner.engine.rules.fields import FIELDS, Grid
from planner.engine.space import enumerate_layouts, layout_axes, options_of

DEVICE = resolve_device("a100", LinkOverrides(), field="gpu")
SPACE = Space(
    tensor_parallel=[1, 2, 3],
    pipeline_parallel=[1, 2, 4],
    virtual_pipeline=[1, 2],
    micro_batch_size=[1, 2, 5],
    context_parallel=[1, 2],
    activation_offload=[False],
    optimizer_offload=[0.0, 1.0],
)


def grid(gpus: int = 16, space: Space = SPACE) -> Grid:
    problem = Problem(from_preset("llama-2-7b"), DEVICE, gpus, 32, 4096, "bf16", 4, flash_attention=True)
    return Grid(problem, enumerate_layouts(problem, layout_axes(problem, space)), options_of(problem, space))


def whole(rules: list[Rule], on: Grid) -> tuple[np.ndarray, dict[str, int]]:
    """Write the whole space out and apply the rules one after the other."""
    alive = np.ones(on.shape, np.bool_)
    dropped = {}
    for rule in rules:
        passes = np.broadcast_to(rule.compiled.evaluate(on), on.shape)
        dropped[rule.id] = int(np.count_nonzero(alive & ~passes))
        alive &= passes
    return alive, dropped


def in_counting_order(rules: list[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: not rule.compiled.axes <= {0})


USER_RULES = (
    "tensor_parallel * pipeline_parallel <= 8",
    "recompute == 'none' or zero_stage >= 1",
    "not (sequence_parallel and optimizer_offload > 0 and micro_batch_size == 2)",
    "'mlp' in recompute_modules or micro_batches // 2 % 2 == 0",
    "sharding in ['zero1', 'none'] and schedule not in ['zero_bubble']",
    "false",
)


@pytest.mark.parametrize("count", range(len(USER_RULES) + 1))
def test_counts_without_writing_the_space_out_equal_those_with(count: int) -> None:
    own = [Rule(f"rules[{i}]", source, source) for i, source in enumerate(USER_RULES[:count])]
    rules = in_counting_order([*BUILTIN_RULES, *own])
    alive, dropped = whole(rules, grid())
    admission = admit(grid(), rules)
    assert admission.admitted == np.count_nonzero(alive)
    assert admission.dropped == dropped
    total = int(np.prod(grid().shape))
    assert total == admission.admitted + sum(admission.dropped.values())


@given(
    left=st.integers(-9, 9),
    right=st.integers(-9, 9),
    third=st.integers(1, 9),
    operators=st.tuples(*[st.sampled_from(["+", "-", "*", "/", "//", "%"])] * 2),
    compare=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
)
def test_arithmetic_means_what_python_means(
    left: int, right: int, third: int, operators: tuple[str, str], compare: str
) -> None:
    source = f"{left} {operators[0]} {third} {operators[1]} {third} {compare} {right}"
    expected = eval(source, {"__builtins__": {}})  # noqa: S307 - the oracle, on text made here
    assert parse_rule(source).evaluate(grid()).item() is expected


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("true or false and false", True),
        ("(true or false) and false", False),
        ("not true or true", True),
        ("not (true or true)", False),
        ("layers == 32 and heads % 5 == 2", True),
        ("precision == 'bf16'", True),
        ("'bf16' != precision", False),
        ("heads in [1, 32]", True),
        ("heads not in [1, 32]", False),
        ("- 1 < - 2 + 2", True),
        ("1 / 0 > 5", True),
    ],
)
def test_expressions(source: str, values: object) -> None:
    assert parse_rule(source).evaluate(grid()).item() is values


@pytest.mark.parametrize(
    ("source", "column", "says"),
    [
        ("tensor_paralel < 3", 1, "tensor_parallel"),
        ("recompute == 'some'", 14, "none, selective, full"),
        ("1 +", 4, "ends too early"),
        ("(1 < 2", 7, "ends too early"),
        ("1 < 2 < 3", 7, "<"),
        ("tp_overlap + 1 > 2", 1, "number"),
        ("tensor_parallel", 1, "boolean"),
        ("tensor_parallel < true", 1, "compares"),
        ("recompute < 'full'", 1, "texts"),
        ("'x' in recompute_modules", 1, "core_attn"),
        ("__import__('os')", 11, "("),
        ("tensor_parallel.real > 1", 16, "."),
        ("tensor_parallel; 1", 16, ";"),
        ("-" * 1990 + "1 == 1", 1, "nested"),
    ],
)
def test_a_wrong_rule_names_the_column(source: str, column: int, says: str) -> None:
    with pytest.raises(RuleError, match="column") as caught:
        parse_rule(source)
    assert caught.value.column == column
    assert says in str(caught.value)


def test_every_field_can_be_named_and_has_a_description() -> None:
    on = grid()
    for name, field in FIELDS.items():
        literal = {"number": "1", "boolean": "true"}.get(field.kind, f"'{field.values[0]}'" if field.values else "")
        source = f"{literal} in {name}" if field.kind == "set" else f"{name} == {literal}"
        assert parse_rule(source).evaluate(on).dtype == np.bool_
        assert field.description.endswith(".")


def test_the_builtin_rules_say_why() -> None:
    assert len({rule.id for rule in BUILTIN_RULES}) == len(BUILTIN_RULES)
    assert all(rule.reason for rule in BUILTIN_RULES)


def test_every_builtin_rule_refuses_something() -> None:
    dense = Problem(from_preset("llama-2-7b"), DEVICE, 48, 72, 4098, "bf16", 4, flash_attention=False)
    mixture = Problem(from_preset("deepseek-v2-lite"), DEVICE, 48, 96, 4096, "bf16", 4, flash_attention=True)
    degrees = {"tensor_parallel": [1, 2, 3, 5], "context_parallel": [1, 2], "micro_batch_size": [1, 7]}
    space = Space(**degrees, expert_parallel=[1, 2, 3], expert_tensor_parallel=[1, 2, 3])
    grids = [Grid(p, enumerate_layouts(p, layout_axes(p, space)), options_of(p, space)) for p in (dense, mixture)]
    for rule in BUILTIN_RULES:
        assert any(not rule.compiled.evaluate(one).all() for one in grids), rule.id


def test_masks_over_unrelated_axes_multiply() -> None:
    sizes = grid().shape
    rules = [Rule("a", "not tp_overlap", ""), Rule("b", "not p2p_overlap", ""), Rule("c", "grad_reduce_overlap", "")]
    assert admit(grid(), rules).admitted == np.prod(sizes) // 8
