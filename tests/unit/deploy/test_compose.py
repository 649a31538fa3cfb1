"""The compose file agrees with the code, and the sandbox in it is trusted with nothing."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from codetree.settings import CodetreeServiceSettings
from planner.settings import PlannerSettings
from sandbox.settings import SandboxSettings

ROOT = Path(__file__).resolve().parents[3]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SETTINGS = {"planner": PlannerSettings, "codetree": CodetreeServiceSettings, "sandbox": SandboxSettings}


def test_every_part_of_the_stack_is_there() -> None:
    assert {
        "planner",
        "planner-worker",
        "codetree",
        "codetree-worker",
        "relay",
        "courier",
        "migrate",
        "sandbox",
    } == set(OURS)
    assert {"postgres", "redis"} == set(SERVICES) - set(OURS)


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_command_exists(name: str) -> None:
    python, flag, module, *_ = OURS[name]["command"]
    assert (python, flag) == ("python", "-m")
    assert find_spec(module) is not None


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_a_setting(name: str) -> None:
    known = {
        f"ASTROLABE_{field.upper()}"
        for field in SETTINGS.get(name.split("-", maxsplit=1)[0], PlannerSettings).model_fields
    }
    given = {variable for variable in OURS[name]["environment"] if variable.startswith("ASTROLABE_")}
    assert given <= known


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_part_is_unprivileged(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert service["init"] is True


def test_the_sandbox_has_no_way_out_and_no_secret_of_the_stores() -> None:
    sandbox = OURS["sandbox"]
    assert "ports" not in sandbox
    assert sandbox["networks"] == ["jail"]
    assert STACK["networks"]["jail"]["internal"] is True
    assert not {"ASTROLABE_DATABASE_URL", "ASTROLABE_REDIS_URL"} & set(sandbox["environment"])
    profile = next(option for option in sandbox["security_opt"] if option.startswith("seccomp="))
    assert json.loads((ROOT / profile.removeprefix("seccomp=")).read_text())["defaultAction"] == "SCMP_ACT_ERRNO"
    assert sandbox["mem_limit"] == sandbox["memswap_limit"]


def test_only_loopback_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_who_talks_to_the_sandbox_shares_its_network() -> None:
    assert "jail" in OURS["codetree-worker"]["networks"]
    assert "jail" not in OURS["planner"]["networks"]


def test_every_secret_is_asked_for_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / ".env.example").read_text()
    assert not [name for name in re.findall(r"\$\{(\w+):\?", text) if f"{name}=" not in example]


def test_the_dockerfile_has_every_target() -> None:
    targets = set(re.findall(r"^FROM .* AS (\w+)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE))
    assert {service["build"]["target"] for service in OURS.values()} <= targets
