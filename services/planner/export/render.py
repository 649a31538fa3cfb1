"""Exports by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.export.deepspeed import deepspeed
from planner.export.megatron import megatron
from planner.export.nemo import nemo
from planner.export.torchtitan import torchtitan
from planner.export.trace import trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from planner.export.context import Export, PlanContext

FORMATS: dict[str, Callable[[PlanContext], Export]] = {
    "megatron": megatron,
    "nemo": nemo,
    "torchtitan": torchtitan,
    "deepspeed": deepspeed,
    "trace": trace,
}


def render(name: str, context: PlanContext) -> Export:
    """Return the export called `name` (a key of FORMATS); CannotExpressError names the dimension that does not fit."""
    return FORMATS[name](context)
