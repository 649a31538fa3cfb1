from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.engine import HomogeneousCluster, PresetModel, Strategy, Workload
from planner.engine.grouping import group_masks, group_rows
from planner.engine.inputs import Space
from planner.engine.memory import stage_memory
from planner.engine.plan import estimate_problem
from planner.engine.space import enumerate_layouts, layout_axes, options_of
from planner.engine.stages import candidate_stages

tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([-3, 0, 1, 2, 7, 1 << 40]), min_size=width, max_size=width), min_size=1, max_size=30
    )
)


@given(tables)
def test_equal_rows_and_only_they_are_of_one_kind(rows: list[list[int]]) -> None:
    table = np.array(rows)
    first, kind = group_rows(table.T)
    assert np.array_equal(table[first[kind]], table)
    assert len(first) == len({tuple(row) for row in rows})
    assert all(row == np.flatnonzero(kind == number)[0] for number, row in enumerate(first))


@given(tables)
def test_many_rows_are_numbered_as_a_few_are(rows: list[list[int]]) -> None:
    few, many = group_rows(np.array(rows).T), group_rows(np.array(rows * 50).T)
    assert np.array_equal(many[0], few[0])
    assert np.array_equal(many[1], np.tile(few[1], 50))


@given(st.integers(1, 20), st.integers(1, 9), st.randoms(use_true_random=False))
def test_masks_are_grouped_as_rows_are(rows: int, columns: int, random: object) -> None:
    table = np.array([[random.random() < 0.5 for _ in range(columns)] for _ in range(rows)]).reshape(rows, columns)  # type: ignore[attr-defined]
    first, kind = group_masks(table)
    assert np.array_equal(table[first[kind]], table)
    assert len(first) == len({tuple(row) for row in table.tolist()})


@pytest.mark.parametrize(("model", "experts"), [("llama-2-7b", None), ("deepseek-v3", [1, 8, 64])])
def test_memory_of_many_layouts_is_that_of_each_alone(model: str, experts: list[int] | None) -> None:
    """Layouts that share a row of activations must agree in all that activations depend on."""
    cluster, workload = HomogeneousCluster(gpu="h100", count=64), Workload(global_batch_size=64, sequence_length=4096)
    problem = estimate_problem(PresetModel(preset=model), workload, cluster, Strategy())
    space = Space(
        tensor_parallel=[1, 2],
        context_parallel=[1, 2],
        pipeline_parallel=[1, 2, 4],
        expert_parallel=experts,
        expert_tensor_parallel=[1],
        micro_batch_size=[1, 2],
        recompute_modules=["layernorm"],
    )
    options = options_of(problem, space)
    layouts = enumerate_layouts(problem, layout_axes(problem, space))
    layouts = layouts.take(layouts.micro_batches > 0)
    together = stage_memory(problem, layouts, options, candidate_stages(problem.architecture, layouts))
    for row in range(0, len(layouts), 7):
        alone = layouts.take(slice(row, row + 1))
        memory = stage_memory(problem, alone, options, candidate_stages(problem.architecture, alone))
        assert np.array_equal(memory.activations[0], together.activations[together.kind[row]])
        assert np.array_equal(memory.buffers[0], together.buffers[together.kind[row]])
        assert np.array_equal(memory.state.total(options)[0], together.state.total(options)[row])
