from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrolabe.batches import lines
from astrolabe.batches.lines import chunks

REQUESTS = st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=3), max_size=30)


@given(REQUESTS, st.integers(1, 7), st.integers(1, 60))
def test_chunks_hold_every_request_once_in_order_and_within_bounds(
    requests: list[dict[str, object]], most_lines: int, most_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK_LINES", most_lines)
        patch.setattr(lines, "CHUNK_BYTES", most_bytes)
        found = list(chunks(requests))
    sent = [json.loads(line) for chunk in found for line in chunk.content.split(b"\n")[:-1]]
    assert sent == requests
    assert [number for chunk in found for number in chunk.numbers] == list(range(1, len(requests) + 1))
    for chunk in found:
        assert len(chunk.numbers) <= most_lines
        assert len(chunk.content) <= most_bytes or len(chunk.numbers) == 1


def test_nothing_is_no_chunk() -> None:
    assert list(chunks([])) == []
    assert list(chunks([b"", b" \r"])) == []
