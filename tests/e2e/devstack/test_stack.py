"""The newcomer's commands on the real services."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from tests.support.launcher import CHECKOUT, all_exit, clean_environment, reachable_folder

from devstack.offspring import descendants
from devstack.parts import SERVICES, port_variable
from devstack.stores.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 110.0


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    with reachable_folder() as place:
        ports = zip(SERVICES, free_ports(len(SERVICES)), strict=True)
        variables = {port_variable(service): str(port) for service, port in ports}
        yield clean_environment(ASTROLABE_DATA_DIR=str(place / "data"), COLUMNS="160", **variables)


def test_demo_shows_a_plan_and_an_episode_and_leaves_nothing(environment: dict[str, str]) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "devstack", "demo"],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    plan, _, episode = demo.stdout.partition("POST /solve")
    assert all(f"\n{rank} " in plan for rank in range(1, 6)), plan
    for words in ("Iteration", "Tokens/s/GPU", "MFU", "Peak GiB", "dropped by rules", "priced"):
        assert words in plan
    assert "1.2.1 succeeded" in episode
    assert "Votes" in episode
    assert "no process is left" in demo.stderr


def test_up_answers_and_kill_9_of_the_launcher_takes_everything_along(environment: dict[str, str]) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "devstack", "up"], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, text=True
    )
    with up:
        try:
            assert up.stdout is not None
            assert any("Stop with" in line for line in up.stdout)
            assert planned(environment)["status"] == "succeeded"
            everything = list(descendants(up.pid))
        finally:
            up.kill()
        assert all_exit(everything, 10)


def planned(environment: dict[str, str]) -> dict[str, object]:
    """The job of the example's plan, as it ends."""
    planner = f"http://127.0.0.1:{environment[port_variable('planner')]}"
    body = json.loads((CHECKOUT / "examples" / "plan.json").read_text())
    with httpx.Client(base_url=planner, trust_env=False, timeout=40) as client:
        accepted = client.post("/plans", json=body)
        assert accepted.status_code == httpx.codes.ACCEPTED, accepted.text
        return dict(client.get(accepted.headers["location"], params={"wait": 30}).json())
