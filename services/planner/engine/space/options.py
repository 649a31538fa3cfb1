"""Options: the dimensions of a strategy that do not move ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Self, get_args

import numpy as np

from planner.engine.inputs.strategy import ContextComm, RecomputeModule, Sharding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.inputs.search import Space
    from planner.engine.problem import Problem
    from planner.engine.types import Bools, Codes, Floats

MODULES: tuple[str, ...] = get_args(RecomputeModule)
SHARDINGS: tuple[str, ...] = get_args(Sharding)
CONTEXT_COMMS: tuple[str, ...] = get_args(ContextComm)


class Zero(IntEnum):
    """What data-parallel ranks split, each including the one before (Rajbhandari et al. 2020, arXiv 1910.02054)."""

    NOTHING = 0
    OPTIMIZER = 1
    GRADIENTS = 2
    WEIGHTS = 3


ZERO_STAGE = {"none": 0, "zero1": 1, "zero1_node": 1, "zero2": 2, "zero3": 3, "zero3_node": 3}
BLOCK_SHARES = (0.25, 0.5, 0.75)
OFFLOAD_SHARES = tuple(eighths / 8 for eighths in range(9))
_FALSE_FIRST = (False, True)


@dataclass(frozen=True, slots=True)
class Recompute:
    """One recompute setting: a `share` of a chunk's layers (rounded up), or exactly `layers` of them, in full."""

    granularity: str = "none"
    modules: tuple[str, ...] = ()
    method: str | None = None
    share: float = 0.0
    layers: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The values of every option dimension; their product, the last one fastest, is the option axis of the space.

    The first `WORK_AXES` dimensions are work options (per micro-batch), the others state options (per step).
    """

    sequence_parallel: Bools
    tp_overlap: Bools
    recomputes: tuple[Recompute, ...]
    activation_offload: Bools
    p2p_overlap: Bools
    context_comm: Codes
    sharding: Codes
    optimizer_offload: Floats
    grad_reduce_overlap: Bools
    param_gather_overlap: Bools

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""
        return tuple(len(getattr(self, name)) for name in self.__slots__)

    def __len__(self) -> int:
        return prod(self.shape)

    @property
    def work_shape(self) -> tuple[int, ...]:
        """Lengths of the work dimensions."""
        return self.shape[:WORK_AXES]

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Lengths of the state dimensions."""
        return self.shape[WORK_AXES:]

    @property
    def fastest(self) -> Self:
        """The work options of which some combination is never slower than any of this space.

        Nothing redone or offloaded.
        """
        return replace(
            self,
            recomputes=(Recompute(),),
            activation_offload=np.zeros(1, np.bool_),
            p2p_overlap=np.array([self.p2p_overlap.any()]),
        )

    @property
    def zero_stages(self) -> Codes:
        """ZeRO stage of each sharding."""
        return np.array([ZERO_STAGE[SHARDINGS[code]] for code in self.sharding], np.int8)

    @property
    def node_shardings(self) -> Bools:
        """Whether each sharding splits within a node only."""
        return np.array([SHARDINGS[code].endswith("_node") for code in self.sharding], np.bool_)


WORK_AXES = 6
MEMORY_WORK_AXES = (1, 3, 4)
OVERLAPS = (2, 5)
MEMORY_STATE_AXES = (7, 8)


def options_of(problem: Problem, space: Space) -> Options:
    """Return the option dimensions of `space`; plainer values first, so that ties prefer them."""
    return Options(
        sequence_parallel=_flags(space.sequence_parallel),
        tp_overlap=_flags(space.tp_overlap),
        recomputes=tuple(_recomputes(problem, space)),
        activation_offload=_flags(space.activation_offload),
        p2p_overlap=_flags(space.p2p_overlap),
        context_comm=_codes(CONTEXT_COMMS, space.context_comm),
        sharding=_codes(SHARDINGS, space.sharding),
        optimizer_offload=np.array(sorted(set(space.optimizer_offload or OFFLOAD_SHARES)), np.float64),
        grad_reduce_overlap=_flags(space.grad_reduce_overlap),
        param_gather_overlap=_flags(space.param_gather_overlap),
    )


def _flags(given: Sequence[bool] | None) -> Bools:
    return np.array([value for value in _FALSE_FIRST if given is None or value in given], np.bool_)


def _codes(names: tuple[str, ...], given: Sequence[str] | None) -> Codes:
    return np.array([code for code, name in enumerate(names) if given is None or name in given], np.int8)


def _recomputes(problem: Problem, space: Space) -> list[Recompute]:
    allowed = space.recompute or ["none", "selective", "full"]
    settings = [Recompute()] if "none" in allowed else []
    if "selective" in allowed:
        settings += [Recompute("selective", modules) for modules in module_sets(problem, space.recompute_modules)]
    if "full" in allowed:
        settings += [Recompute("full", (), "block", share) for share in BLOCK_SHARES]
        settings.append(Recompute("full", (), "uniform", 1.0))
    return settings


def module_sets(problem: Problem, allowed: Sequence[str] | None) -> list[tuple[str, ...]]:
    """Return every set of modules worth recomputing.

    `moe` already holds `moe_act` and the shared experts; in a mixture of experts the few dense layers' `mlp` saves
    next to nothing.
    """
    arch = problem.architecture
    relevant = {"core_attn", "layernorm"}
    relevant |= {"mla_up_proj"} if arch.is_latent_attention else set()
    relevant |= {"moe_act", "moe"} if arch.is_moe else set()
    relevant |= set() if arch.is_moe else {"mlp"}
    relevant |= {"shared_experts"} if arch.shared_ffn_size else set()
    names = [name for name in MODULES if name in relevant and (allowed is None or name in allowed)]
    sets = [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]
    return [subset for subset in sets if not ("moe" in subset and {"moe_act", "shared_experts"} & set(subset))]
