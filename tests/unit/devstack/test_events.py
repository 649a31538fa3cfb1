from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devstack.events import Event, EventLog

if TYPE_CHECKING:
    from pathlib import Path

KILLED = "2026-11-24 11:22:33,123 WARN exited: planner-worker (terminated by SIGKILL; not expected)\n"
RUNS = "2026-11-24 11:22:36,123 INFO success: planner-worker entered RUNNING state, process has stayed up for > 2 s\n"


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (
            Event("exited", "planner-worker", "(exit status 1; not expected)"),
            "planner worker ended (exit status 1); restarting it",
        ),
        (Event("success", "relay", "entered RUNNING state"), "relay runs"),
        (Event("gave up", "relay", "entered FATAL state"), "relay ends again and again; given up"),
    ],
)
def test_an_event_is_one_sentence(event: Event, sentence: str) -> None:
    assert event.sentence() == sentence


def test_only_new_and_whole_lines_are_events(tmp_path: Path) -> None:
    path = tmp_path / "supervisord.log"
    path.write_text(KILLED)
    log = EventLog(path)
    with path.open("a") as lines:
        lines.write(RUNS[:40])
    assert list(log.read()) == []
    with path.open("a") as lines:
        lines.write(RUNS[40:])
    assert [(event.part, event.came_up) for event in log.read()] == [("planner-worker", True)]
    assert list(log.read()) == []


def test_a_rotated_log_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "supervisord.log"
    path.write_text(RUNS * 3)
    log = EventLog(path)
    path.write_text(KILLED)
    assert [event.ended for event in log.read()] == [True]


def test_a_log_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert list(EventLog(tmp_path / "supervisord.log").read()) == []
