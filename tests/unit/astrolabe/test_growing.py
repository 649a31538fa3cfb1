from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from astrolabe import Event
from astrolabe.cli.display import make_display
from astrolabe.render.growing import Growing, described

EPISODE: list[tuple[str, dict[str, Any]]] = [
    ("episode.started", {"policy": "tree"}),
    ("layer.started", {"layer": 1, "nodes": 3}),
    ("node.generated", {"path": "2", "layer": 1, "status": "generated", "model": "m", "error": None}),
    ("tool.called", {"path": "2", "function": "plan", "error": None}),
    ("node.finished", {"path": "1", "status": "failed", "model": "m", "error": "KeyError: 'a'\nmore"}),
    ("node.finished", {"path": "2", "status": "succeeded", "model": "m", "answer": 42, "error": None}),
    ("budget.updated", {"layer": 1, "llm_calls": 3, "programs": 2, "tokens": 4000, "money_usd": 0.02}),
    ("vote.updated", {"layer": 1, "votes": [{"answer": 42, "count": 1}]}),
    ("layer.started", {"layer": 2, "nodes": 3}),
    ("node.finished", {"path": "1.1", "status": "succeeded", "model": "m", "answer": "x" * 500, "error": None}),
]


def events(*given: tuple[str, dict[str, Any]]) -> list[Event]:
    return [Event(id=number, type=kind, data=data) for number, (kind, data) in enumerate(given, 1)]


def drawn(growing: Growing, width: int = 100) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(growing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_tree_is_drawn_as_it_stands() -> None:
    growing = Growing()
    assert drawn(growing) == [""]
    for event in events(*EPISODE[:4]):
        growing.see(event)
    assert drawn(growing) == ["layer 1: 1 generated, 2 being written", "2 generated m 1 tool calls"]
    for event in events(*EPISODE[4:]):
        growing.see(event)
    lines = drawn(growing)
    assert lines[0] == (
        "layer 2: 1 failed, 2 succeeded, 2 being written; spent: 3 llm calls, 2 programs, 4,000 tokens, $0.02"
    )
    assert lines[1:3] == ["votes: 42 (1)", "1 failed m: KeyError: 'a'"]
    assert lines[3].startswith("└── 1.1 succeeded m = xxx")
    assert lines[4] == "2 succeeded m 1 tool calls = 42"
    assert all(len(each) <= 100 for each in lines), "a node is one line, however long its answer"


def test_where_nothing_can_be_drawn_each_event_is_a_line() -> None:
    lines = [text for event in events(*EPISODE) if (text := described(event))]
    assert lines[:5] == [
        "layer 1: 3 programs",
        "node 2 called plan",
        "node 1 failed: KeyError: 'a'",
        "node 2 succeeded = 42",
        "spent: 3 llm calls, 2 programs, 4,000 tokens, $0.02",
    ]
    assert lines[5] == "votes: 42 (1)"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from([kind for kind, _ in EPISODE] + ["node.later", ""])
NAMES = st.sampled_from(
    ["path", "status", "layer", "nodes", "votes", "answer", "error", "model", "money_usd", "tokens"]
)


@given(st.lists(st.tuples(KINDS, st.dictionaries(NAMES, JSON, max_size=6)), max_size=8))
def test_whatever_a_service_says_is_drawn_without_an_error_and_cannot_write_to_the_terminal(
    given: list[tuple[str, dict[str, Any]]],
) -> None:
    growing = Growing()
    for event in events(*given):
        growing.see(event)
        assert "\x1b" not in described(event)
    assert not any("\x1b" in each or "\x07" in each for each in drawn(growing))


def test_a_live_display_is_gone_at_the_end() -> None:
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True)
    with make_display(quiet=False, nodes=True, console=terminal) as show:
        for event in events(*EPISODE, ("job.succeeded", {"status": "succeeded"})):
            show(event)
    assert isinstance(terminal.file, io.StringIO)
    assert "being written" in terminal.file.getvalue()
