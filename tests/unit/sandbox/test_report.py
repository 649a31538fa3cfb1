"""What comes out of a jail is untrusted: no bytes of it may raise anything but what is answered for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.guest.values import MAX_NESTING, nested_too_deep
from sandbox.jail.faults import GuestProtocolError, JailStartError
from sandbox.report import collected_files, parse_result, read_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Frames:
    """A jail that sends these frames, and ends."""

    def __init__(self, frames: Iterable[tuple[bytes, bytes]]) -> None:
        self._frames = iter(frames)

    async def ask(self, kind: bytes, wanted: Mapping[str, object]) -> None:
        assert (kind, wanted) == (b"C", {})

    async def frame(self) -> tuple[bytes, bytes] | None:
        return next(self._frames, None)


@given(st.binary(max_size=300))
def test_no_result_bytes_raise(written: bytes) -> None:
    parse_result(written)
    parse_result(b"A" + written + b"\n")


@given(st.text(alphabet='[]{}",:0123456789.eE-+\\udnulltruefalseNaInfity ', max_size=80))
def test_what_is_taken_as_a_result_can_be_sent_on(text: str) -> None:
    answer = parse_result(b"A" + text.encode() + b"\n")
    if answer.given:
        json.dumps(answer.value, allow_nan=False).encode()


@pytest.mark.parametrize("deep", [MAX_NESTING + 1, 500, 900, 100_000])
def test_an_abyss_is_no_result(deep: int) -> None:
    assert not parse_result(b"A" + b"[" * deep + b"]" * deep + b"\n").given
    assert not parse_result(b"A" + b'{"a":' * deep + b"1" + b"}" * deep + b"\n").given


def test_nesting_up_to_the_limit_is_a_result() -> None:
    text = "[" * MAX_NESTING + "]" * MAX_NESTING
    assert parse_result(b"A" + text.encode() + b"\n").value == json.loads(text)


@given(
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
)
def test_depth_is_that_of_the_text(value: object) -> None:
    deepest = depth = 0
    for letter in json.dumps(value).replace('\\"', "").translate({ord(c): None for c in " ,:"}):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(letter, 0)
        deepest = max(deepest, depth)
    assert not nested_too_deep(value) or deepest > MAX_NESTING


@given(st.lists(st.tuples(st.sampled_from([b"E", b"F", b"O", b"D", b"Z"]), st.binary(max_size=60)), max_size=5))
async def test_no_frames_raise_but_a_broken_protocol(frames: list[tuple[bytes, bytes]]) -> None:
    for reading in (read_end(Frames(frames)), collected_files(Frames(frames), {}, 5.0)):  # type: ignore[arg-type]
        try:
            await reading
        except (GuestProtocolError, JailStartError):
            continue


async def test_a_report_is_read() -> None:
    ended = await read_end(Frames([(b"E", b"256 1000000 500000 4096")]))  # type: ignore[arg-type]
    assert ended is not None
    assert (ended.wait_status, ended.cpu_seconds, ended.peak_bytes) == (256, 1.5, 4096)


async def test_files_without_end_are_not_believed() -> None:
    with pytest.raises(GuestProtocolError):
        await collected_files(Frames([(b"O", b"too_large 1 x")] * 10_000), {}, 5.0)  # type: ignore[arg-type]
