"""The tree T = (N, S) of Tree-of-Code (arXiv 2412.15305): nodes are programs, stems lead from a failure to its repair.

Paths and layers count from 1: ``2.1`` is the first child of the second root, and lies in layer 2.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from codetree.engine.values import Execution, Usage


class NodeStatus(StrEnum):
    """From ``queued`` over ``generated`` to one of the others, which are final.

    ``acted`` is a step of a ``codeact`` episode that ran and has not answered yet.
    """

    QUEUED = "queued"
    GENERATED = "generated"
    SUCCEEDED = "succeeded"
    ACTED = "acted"
    FAILED = "failed"
    MALFORMED = "malformed"
    MODEL_ERROR = "model_error"
    EXECUTOR_ERROR = "executor_error"
    ABANDONED = "abandoned"


GROWING = frozenset({NodeStatus.FAILED, NodeStatus.MALFORMED, NodeStatus.ACTED})
"""Only these teach a child something: successes stop, outages and abandoned nodes say nothing about the program."""


@dataclass(frozen=True, slots=True)
class Node:
    """One CodeProgram: what the model thought and wrote, and what came of it. ``error`` says in words why it failed.

    ``duplicate_of`` names the first node with the same program, whose execution this node shares.
    """

    path: str
    model: str
    prompt_variant: str
    status: NodeStatus = NodeStatus.QUEUED
    thought: str = ""
    code: str | None = None
    execution: Execution | None = None
    answer: JsonValue = None
    error: str | None = None
    turns: int = 0
    provider: str | None = None
    note: str | None = None
    usage: Usage = field(default_factory=Usage)
    temperature: float | None = None
    fingerprint: str | None = None
    duplicate_of: str | None = None

    @property
    def parent(self) -> str | None:
        return parent_of(self.path)

    @property
    def layer(self) -> int:
        return layer_of(self.path)


def root_path(index: int) -> str:
    """Path of the ``index``-th root, counted from 1."""
    return str(index)


def child_path(parent: str, index: int) -> str:
    """Path of the ``index``-th child of ``parent``, counted from 1."""
    return f"{parent}.{index}"


def parent_of(path: str) -> str | None:
    """Path of the failure this node learns from; a root has none."""
    return path.rpartition(".")[0] or None


def layer_of(path: str) -> int:
    """Layer of a path; roots lie in layer 1."""
    return path.count(".") + 1


def breadth_first(path: str) -> tuple[int, tuple[int, ...]]:
    """Sort key that puts paths in breadth-first order: the engine's node order everywhere."""
    return layer_of(path), tuple(int(part) for part in path.split("."))
