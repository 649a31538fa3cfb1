"""Which pipeline shapes a search considers."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from planner.engine.space.pipelines import SCHEDULES, SPLITS, PipelineShapes, pipeline_shapes


def shapes(layers: int, stages: int, chunks: tuple[int, ...] | None = None, extra: int = 0) -> PipelineShapes:
    return pipeline_shapes(layers, (stages,), chunks, SCHEDULES, SPLITS, extra)


def lengths(found: PipelineShapes) -> list[tuple[int, tuple[int, int, int], int]]:
    """Return (chunks, layers of the stages, longest chunk) of every shape."""
    columns = (found.chunks, found.first_layers, found.middle_layers, found.last_layers)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        (chunks, (first, middle, last), -(-max(first, middle, last) // chunks)) for chunks, first, middle, last in rows
    ]


@given(st.integers(2, 130), st.sampled_from([2, 3, 4, 5, 8, 16]), st.integers(0, 1))
def test_more_chunks_of_one_deal_are_shorter(layers: int, stages: int, extra: int) -> None:
    deals: dict[tuple[int, int, int], dict[int, int]] = defaultdict(dict)
    for chunks, sizes, longest in lengths(shapes(layers, stages, extra=extra)):
        deals[sizes][chunks] = longest
    for by_chunks in deals.values():
        longest = [by_chunks[chunks] for chunks in sorted(by_chunks)]
        assert longest == sorted(set(longest), reverse=True)


@given(st.integers(2, 130), st.sampled_from([2, 3, 4, 8, 16]))
def test_the_shortest_chunks_that_any_count_gives_are_considered(layers: int, stages: int) -> None:
    counts = range(1, -(-(layers + 2) // stages) + 1)
    each = [longest for count in counts for _, _, longest in lengths(shapes(layers, stages, (count,)))]
    considered = [longest for _, _, longest in lengths(shapes(layers, stages))]
    assert min(each, default=0) == min(considered, default=0)


def test_a_count_that_is_asked_for_is_dealt_however_long_its_chunks() -> None:
    assert lengths(shapes(80, 2, (31,))) == [(31, (40, 0, 40), 2)]
    assert 31 not in shapes(80, 2).chunks
