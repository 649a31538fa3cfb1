from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrolabe.retry import Outcome, RetryPolicy, retry_after_seconds

POLICY = RetryPolicy(attempts=4, first_seconds=0.25, longest_seconds=8, longest_retry_after_seconds=60)


def response(status: int, retry_after: str | None = None) -> httpx.Response:
    return httpx.Response(status, headers=[] if retry_after is None else [(b"Retry-After", retry_after.encode())])


@pytest.mark.parametrize(
    "outcome",
    [
        *map(response, (429, 502, 503, 504)),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
    ],
)
def test_what_may_pass_is_tried_again_until_the_attempts_are_spent(outcome: Outcome) -> None:
    pauses = [POLICY.pause_seconds(attempt, outcome) for attempt in range(1, 5)]
    assert None not in pauses[:3]
    assert pauses[3] is None


@pytest.mark.parametrize(
    "outcome",
    [*map(response, (200, 400, 404, 409, 422, 500)), httpx.UnsupportedProtocol("ftp"), httpx.DecodingError("")],
)
def test_what_will_not_change_is_not_tried_again(outcome: Outcome) -> None:
    assert POLICY.pause_seconds(1, outcome) is None


def test_the_service_says_how_long_to_wait() -> None:
    assert POLICY.pause_seconds(1, response(503, "7")) == 7
    assert POLICY.pause_seconds(1, response(429, "0")) == 0


def test_waiting_longer_than_is_sensible_is_left_to_the_caller() -> None:
    assert POLICY.pause_seconds(1, response(503, "61")) is None


@pytest.mark.parametrize("value", ["", "soon", "-3", "1.5", "²", "Mon, 99 Nov 2026 10:00:00 GMT"])
def test_a_wrong_retry_after_is_as_good_as_none(value: str) -> None:
    assert retry_after_seconds(response(503, value)) is None
    assert POLICY.pause_seconds(1, response(503, value)) is not None


def test_retry_after_may_be_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = retry_after_seconds(response(503, soon))
    assert seconds is not None
    assert 20 < seconds <= 30
    assert retry_after_seconds(response(503, "Sun, 06 Nov 1994 08:49:37 GMT")) == 0


@given(st.integers(1, 40))
def test_pauses_double_up_to_a_bound_and_keep_their_distance_from_zero(attempt: int) -> None:
    bound = min(8.0, 0.25 * 2 ** (attempt - 1))
    assert bound / 2 <= POLICY.backoff_seconds(attempt) <= bound
