from __future__ import annotations

from pathlib import Path

from planner.engine.rules import BUILTIN_RULES, FIELDS

PAGE = (Path(__file__).parents[3] / "docs" / "planner.md").read_text(encoding="utf-8")


def test_every_field_and_rule_is_documented_as_it_is() -> None:
    for name, field in FIELDS.items():
        assert f"| `{name}` |" in PAGE
        assert field.description in PAGE
    for rule in BUILTIN_RULES:
        assert f"| `{rule.id}` | `{rule.expression}` | {rule.reason} |" in PAGE
