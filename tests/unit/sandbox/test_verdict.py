from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.limits import Limits
from sandbox.verdict import Evidence, judge

LIMITS = Limits(10, 10, 1 << 29, 64, 1 << 20, 1 << 26)


def _evidence(**seen: object) -> Evidence:
    facts = {"stop": None, "wait_status": 0, "oom_kills": 0, "cpu_seconds": 0.1, "ran_out_of_memory": False}
    return Evidence(**{**facts, **seen})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "status", "exit_code", "signal_name"),
    [
        ({}, "ok", 0, None),
        ({"wait_status": 1 << 8}, "error", 1, None),
        ({"wait_status": 137 << 8}, "error", 137, None),
        ({"wait_status": signal.SIGKILL}, "killed", None, "SIGKILL"),
        ({"wait_status": signal.SIGTERM}, "killed", None, "SIGTERM"),
        ({"wait_status": signal.SIGSEGV}, "error", None, "SIGSEGV"),
        ({"wait_status": signal.SIGXCPU}, "error", None, "SIGXCPU"),
        ({"wait_status": signal.SIGXCPU, "cpu_seconds": 10.0}, "timeout", None, "SIGXCPU"),
        ({"wait_status": 40}, "killed", None, "SIG40"),
        ({"wait_status": None}, "killed", None, "SIGKILL"),
        ({"wait_status": None, "stop": "wall"}, "timeout", None, "SIGKILL"),
        ({"wait_status": None, "stop": "cpu"}, "timeout", None, "SIGKILL"),
        ({"wait_status": None, "stop": "output"}, "output_exceeded", None, "SIGKILL"),
        ({"wait_status": None, "stop": "memory"}, "memory_exceeded", None, "SIGKILL"),
        ({"wait_status": None, "stop": "wall", "oom_kills": 1}, "memory_exceeded", None, "SIGKILL"),
        ({"oom_kills": 1}, "memory_exceeded", 0, None),
        ({"wait_status": 1 << 8, "ran_out_of_memory": True}, "memory_exceeded", 1, None),
        ({"wait_status": 2 << 8, "ran_out_of_memory": True}, "error", 2, None),
        ({"ran_out_of_memory": True}, "ok", 0, None),
    ],
)
def test_the_status_follows_from_the_evidence(
    seen: dict[str, object], status: str, exit_code: int | None, signal_name: str | None
) -> None:
    verdict = judge(_evidence(**seen), LIMITS)
    assert (verdict.status, verdict.exit_code, verdict.signal) == (status, exit_code, signal_name)
    assert (verdict.reason is None) == (status == "ok")


@given(
    stop=st.sampled_from([None, "wall", "output", "memory", "cpu"]),
    wait_status=st.one_of(st.none(), st.integers(0, 255).map(lambda code: code << 8), st.integers(1, 64)),
    oom_kills=st.integers(0, 3),
    cpu_seconds=st.floats(0, 30),
    claimed=st.booleans(),
)
def test_ok_means_that_nothing_was_broken(
    stop: str | None, wait_status: int | None, oom_kills: int, cpu_seconds: float, claimed: bool
) -> None:
    evidence = _evidence(
        stop=stop, wait_status=wait_status, oom_kills=oom_kills, cpu_seconds=cpu_seconds, ran_out_of_memory=claimed
    )
    verdict = judge(evidence, LIMITS)
    unbroken = stop is None and not oom_kills and cpu_seconds < LIMITS.cpu_seconds
    assert (verdict.status == "ok") == (unbroken and wait_status == 0)
    assert (verdict.exit_code is None) != (verdict.signal is None)
