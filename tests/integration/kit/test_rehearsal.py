"""A rehearsed batch is reported as the same batch is when it is really sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from kit.audit import Actor
from kit.batches.acceptance import Acceptance
from kit.batches.lines import Line, Parsed, Received
from kit.batches.rehearsal import Rehearsal
from kit.batches.views import BatchReport, report
from kit.db import transaction
from kit.jobs import Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNKS = st.lists(st.lists(st.tuples(st.sampled_from([None, "x", "y"]), st.integers(0, 1)), max_size=4), max_size=3)


def parsed(chunks: Sequence[Sequence[tuple[str | None, int]]]) -> list[Parsed]:
    """The chunks of a batch: an external id and what is asked, for each line."""
    numbers = iter(range(1, 100))
    return [
        Parsed([Line(next(numbers), Submission("toy", "ann", {"n": n}, 3, external_id=id_)) for id_, n in chunk], [])
        for chunk in chunks
    ]


def accepted(engine: Engine, chunks: Sequence[Parsed]) -> BatchReport:
    acceptance = Acceptance("toy", Actor("ann", None, "r-1"), lambda *_: (), lambda *_: None)
    with transaction(engine) as session:
        acceptance.begin(session, Received([b"{}" for chunk in chunks for _ in chunk.lines], "0" * 64))
        for chunk in chunks:
            acceptance.add(session, chunk)
        acceptance.end(session)
        return report(acceptance.batch)


def rehearsed(engine: Engine, chunks: Sequence[Parsed]) -> BatchReport:
    rehearsal = Rehearsal()
    for chunk in chunks:
        with transaction(engine) as session:
            rehearsal.add(session, chunk)
    return rehearsal.report()


def told(answer: BatchReport) -> dict[str, Any]:
    counts = answer.model_dump(include={"total", "accepted", "duplicates", "rejected"})
    return counts | {"refused": [(one.line, one.external_id, one.problem.status) for one in answer.rejections]}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=CHUNKS, chunks=CHUNKS)
def test_a_rehearsal_tells_what_happens_and_changes_nothing(engine: Engine, before: Any, chunks: Any) -> None:
    accepted(engine, parsed(before))
    rehearsal = [told(rehearsed(engine, parsed(chunks))) for _ in range(2)]
    assert rehearsal == [told(accepted(engine, parsed(chunks)))] * 2
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE kit.jobs, kit.batches CASCADE"))
