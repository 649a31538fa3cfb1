"""Every case of peers' tests and escapes is shown by a test that exists, or argued."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.security.sandbox.programs import state
from tests.security.sandbox.test_hostile_programs import CATEGORIES

ROOT = Path(__file__).resolve().parents[3]
GATHERED = {
    "limits": 33, "filesystem": 22, "network": 11, "kernel": 23, "output": 12, "normal": 14, "state": 8, "integrity": 11,
}  # fmt: skip
COVERED: dict[str, dict[int, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "tests" / "security" / "sandbox" / "cases.yml").read_text()
)
PROGRAMS = {f"{category}: {case.name}" for category, cases in CATEGORIES.items() for case in cases}
PROGRAMS |= {f"state: {name}" for name in state.PAIRS}


def exists(name: str) -> bool:
    file, found, test = name.partition("::")
    if not found:
        return name in PROGRAMS
    source = (ROOT / file).read_text() if (ROOT / file).is_file() else ""
    return re.search(rf"^(async )?def {re.escape(test)}\(", source, re.MULTILINE) is not None


def test_every_case_is_there() -> None:
    assert {category: sorted(cases) for category, cases in COVERED.items()} == {
        category: list(range(1, count + 1)) for category, count in GATHERED.items()
    }
    assert sum(GATHERED.values()) == 134


@pytest.mark.parametrize("category", GATHERED)
def test_what_shows_it_exists(category: str) -> None:
    for number, case in COVERED[category].items():
        assert case["about"]
        assert ("by" in case) != ("argued" in case), number
        assert [name for name in case.get("by", []) if not exists(name)] == [], number
        assert "argued" in case or case["by"]


def test_a_name_that_is_none_would_be_noticed() -> None:
    assert not exists("limits: no such program")
    assert not exists("tests/unit/sandbox/test_cases.py::test_that_is_not_there")
    assert exists("tests/unit/sandbox/test_cases.py::test_every_case_is_there")
