"""Every hostile program against the real service: the exact status, no effect, nothing left behind."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest
from tests.security.sandbox.programs import filesystem, integrity, kernel, limits, network, normal, output, state
from tests.support.sandbox_service import SECRET

if TYPE_CHECKING:
    from tests.security.sandbox.case import Case
    from tests.support.sandbox_service import Service

CATEGORIES = {
    "limits": limits.CASES,
    "filesystem": filesystem.CASES,
    "network": network.CASES,
    "kernel": kernel.CASES,
    "output": output.CASES,
    "integrity": integrity.CASES,
    "normal": normal.CASES,
}
CASES = [
    pytest.param(case, id=f"{category}-{case.name.replace(' ', '-')}")
    for category, cases in CATEGORIES.items()
    for case in cases
]

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="system call numbers are those of x86-64")


@pytest.mark.parametrize("case", CASES)
def test_program(sandbox: Service, case: Case) -> None:
    isolation = sandbox.client.get("/readyz").json()["checks"]["confinement"]
    if reason := case.cannot_be_seen(isolation, elsewhere=sandbox.process is None):
        pytest.skip(reason)
    answer = sandbox.run(case.code, **case.request())
    case.judge(answer)
    assert SECRET not in str(answer)
    assert sandbox.program_pids() == []
    assert sandbox.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "case", [case for case in limits.CASES if not case.counted_by_cgroup_only], ids=lambda c: c.name
)
def test_limits_hold_by_rlimits_and_sampling(sandbox_without_cgroups: Service, case: Case) -> None:
    answer = sandbox_without_cgroups.run(case.code, **case.request())
    case.judge(answer)
    assert answer["isolation"]["memory"] == "rlimit"
    assert sandbox_without_cgroups.program_pids() == []


@pytest.mark.parametrize("name", state.PAIRS)
def test_nothing_stays(sandbox: Service, name: str) -> None:
    leave, look, expected = state.PAIRS[name]
    assert sandbox.run(leave)["status"] == "ok"
    assert sandbox.run(look)["result"] == expected


def test_names_are_unique() -> None:
    names = [parameter.id for parameter in CASES]
    assert len(names) == len(set(names))
