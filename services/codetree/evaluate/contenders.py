"""What is compared: policies and models, as the command line names them.

A policy is a kind, optionally with settings: ``tree``, ``programs:count=9``,
``tree:root_width=1,exploration.prompts=builtin``, ``tree:exploration.temperatures=[0,0.7]``. Models joined by ``+`` are
one pool.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from codetree.schemas.policies import PolicyRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codetree.engine.policy import TreePolicy

_POLICY: TypeAdapter[Any] = TypeAdapter(PolicyRequest)
_BETWEEN_SETTINGS = re.compile(r",(?![^\[]*\])")
"""Commas, but for those within a list."""
_DEFAULTS: dict[str, dict[str, Any]] = {"programs": {"count": 5}}


class ContenderError(ValueError):
    """A policy or a model is not understood: which, and why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One policy with one pool of models."""

    policy_name: str
    policy: TreePolicy
    models: tuple[str, ...]

    @property
    def models_name(self) -> str:
        return "+".join(self.models)


def contenders(policies: Sequence[str], pools: Sequence[str]) -> list[Contender]:
    """Every policy with every pool. Raises ``ContenderError``."""
    parsed = [(name, parse_policy(name)) for name in policies]
    return [Contender(name, policy, tuple(pool.split("+"))) for name, policy in parsed for pool in pools]


def parse_policy(text: str) -> TreePolicy:
    """The policy that ``text`` names. Raises ``ContenderError``."""
    kind, _, settings = text.partition(":")
    document: dict[str, Any] = {"kind": kind, **_DEFAULTS.get(kind, {})}
    for setting in filter(None, _BETWEEN_SETTINGS.split(settings)):
        name, equals, value = setting.partition("=")
        if not equals:
            raise ContenderError(f"policy {text!r}: {setting!r} has no '='")
        _put(document, name.split("."), _value(value))
    try:
        policy: TreePolicy = _POLICY.validate_python(document, strict=False).to_policy()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ContenderError(f"policy {text!r}: {f'{place}: ' if place else ''}{first['msg']}") from error
    return policy


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        document = document.setdefault(step, {})
    document[path[-1]] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
