"""What a chaos run asks for: a mix of jobs, drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.chaos.world import task_of

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_LINES = 6
_MIX = {
    "planner": {"plan": 34, "long": 5, "same": 10, "cancelled": 10, "batch": 3},
    "codetree": {"solve": 24, "tree": 6, "slow": 6, "filling": 1, "solve-batch": 1},
}
"""Kinds of orders and their weights, by service."""
_WITH_WEBHOOK = 0.2
_LATE_CANCEL_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Order:
    """One request: to which service, with what body or lines, and when to cancel it, if at all."""

    number: int
    kind: str
    service: str
    path: str
    body: Any
    jobs: int = 1
    cancel_after_seconds: float | None = None


def orders(seed: int, service: str, webhook: str) -> Iterator[Order]:
    """Orders of a service, without end."""
    chance = random.Random(f"{seed}/{service}")  # noqa: S311 - reproducible
    mix = _MIX[service]
    number = 0
    while True:
        number += 1
        kind = chance.choices(list(mix), list(mix.values()))[0]
        options: dict[str, Any] = {"webhook": webhook} if chance.random() < _WITH_WEBHOOK else {}
        late = chance.uniform(0, _LATE_CANCEL_SECONDS)
        yield _order(f"{number}", number, kind, options, late)


def _order(name: str, number: int, kind: str, options: dict[str, Any], late: float) -> Order:
    if kind == "batch":
        lines = [small_plan(f"{name}.{line}") | {"external_id": f"{name}.{line}"} for line in range(BATCH_LINES)]
        return Order(number, kind, "planner", "/batches", lines, BATCH_LINES)
    if kind == "solve-batch":
        lines = [episode(f"{name}.{line}", "plain") | {"external_id": f"{name}.{line}"} for line in range(BATCH_LINES)]
        return Order(number, kind, "codetree", "/batches", lines, BATCH_LINES)
    if kind == "same":
        # One of five questions: asked before, asked now by others, or new.
        return Order(number, kind, "planner", "/plans", small_plan(f"same.{number // 50 * 5 + number % 5}") | options)
    if kind in {"plan", "cancelled"}:
        cancel = late if kind == "cancelled" else None
        return Order(number, kind, "planner", "/plans", small_plan(name) | options, cancel_after_seconds=cancel)
    if kind == "long":
        return Order(number, kind, "planner", "/plans", long_plan(name) | options)
    body = episode(name, "plain" if kind == "solve" else kind)
    return Order(number, kind, "codetree", "/solve", body | options)


def canary(service: str, number: int) -> Order:
    """A job that goes first; its end shows that all is well."""
    name = f"canary.{number}"
    if service == "planner":
        return Order(number, "canary", service, "/plans", small_plan(name) | {"priority": 9})
    return Order(number, "canary", service, "/solve", episode(name, "plain") | {"priority": 9})


def small_plan(name: str) -> dict[str, Any]:
    """A search of a few hundredths of a second; each name is another question."""
    return _plan(name, "llama-2-7b", 8, {"micro_batch_size": [1, 2], "recompute": ["none", "full"]}, "bounded")


def long_plan(name: str) -> dict[str, Any]:
    """A search of about a second, there to be killed."""
    return _plan(name, "gpt-3-175b", 128, {}, "exhaustive")


def _plan(name: str, model: str, gpus: int, space: dict[str, Any], method: str) -> dict[str, Any]:
    # The tokens change nothing but the question's fingerprint.
    tokens = 1e9 + int.from_bytes(name.encode()[-6:], "big")
    return {
        "model": {"preset": model},
        "workload": {"global_batch_size": 1536, "sequence_length": 2048, "tokens": tokens},
        "cluster": {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": gpus},
        "search": {"space": space, "method": method, "top_k": 3},
    }


def episode(name: str, kind: str) -> dict[str, Any]:
    """An episode whose programs the scripted model knows."""
    policy = {"kind": "tree", "branching": 2} if kind == "tree" else {"kind": "programs", "count": 2}
    return {"task": task_of(name, kind), "policy": policy}
