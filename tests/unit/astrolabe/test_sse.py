from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrolabe.sse import EventParser, ServerSentEvent


def parse(*chunks: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


EVENT = ServerSentEvent("job.progress", '{"a": 1}', "7")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_of_the_standard_is_understood(end: str) -> None:
    lines = ["event: job.progress", 'data: {"a": 1}', "id: 7", "", ""]
    # A lone carriage return may be half of a line end, so what it ends waits for the next byte.
    assert parse(end.join(lines).encode(), b": ping\n") == [EVENT]


def test_an_event_is_given_as_soon_as_its_blank_line_has_come() -> None:
    assert parse(b'event: job.progress\ndata: {"a": 1}\nid: 7\n\n') == [EVENT]


def test_an_event_that_a_cut_leaves_unfinished_is_never_given() -> None:
    assert parse(b'event: job.progress\ndata: {"a": 1}\nid: 7\n') == []


def test_comments_and_unknown_fields_are_passed_over() -> None:
    assert parse(b": keep-alive\n\n", b"colour: red\ndata: x\n\n") == [ServerSentEvent("message", "x", "")]


def test_data_of_several_lines_is_joined_and_one_space_removed() -> None:
    assert parse(b"data:one\ndata:  two\ndata\n\n")[0].data == "one\n two\n"


def test_an_event_without_data_is_dropped_with_its_type_but_not_its_id() -> None:
    assert parse(b"event: a\nid: 3\n\ndata: x\n\n") == [ServerSentEvent("message", "x", "3")]


def test_an_id_with_a_nul_is_ignored() -> None:
    assert parse(b"id: 1\ndata: x\n\nid: 2\0\ndata: y\n\n")[1].id == "1"


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n")[0].data == "x"


def test_separators_that_only_python_knows_end_no_line() -> None:
    text = "a\u2028b\u0085c\x0bd\x1ce"
    assert parse(f"data: {text}\n\n".encode())[0].data == text


@pytest.mark.parametrize(("field", "seconds"), [("retry: 1500", 1.5), ("retry: soon", None), ("retry: -1", None)])
def test_the_server_may_say_when_to_come_back(field: str, seconds: float | None) -> None:
    parser = EventParser()
    list(parser.feed(f"{field}\n".encode()))
    assert parser.retry_seconds == seconds


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), min_size=1),
            st.text(st.characters(exclude_characters="\r\n", codec="utf-8")),
        ),
        max_size=5,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.data(),
)
def test_how_the_bytes_are_cut_changes_nothing(sent: list[tuple[str, str]], end: str, data: st.DataObject) -> None:
    fields = [(f"event: {kind}", f"data: {text}", f"id: {number}", "") for number, (kind, text) in enumerate(sent)]
    stream = "".join(line + end for event in fields for line in event).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = [ServerSentEvent(kind, text, str(number)) for number, (kind, text) in enumerate(sent)]
    assert parse(*chunks) == expected
