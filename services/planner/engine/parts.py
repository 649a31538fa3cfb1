"""Parts of a search: what shares of one space found, and how they are joined.

Joining is associative and commutative: candidates stand in a total order that does not depend on who found them, the
frontier is a Pareto set, counts are sums. One part over the whole space and the parts of its shares, joined, are equal
but for the work it took (`evaluated`, `seconds`, and what cost mode counts after its bounds).
"""

from __future__ import annotations

from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from planner.engine.outputs import Candidate, Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Mode = Literal["homogeneous", "heterogeneous", "cost"]
Rank = tuple[float, float, int, int, int]
"""Seconds, dollars (0 where there is no choice of money), problem, share, position: no two are equal."""

Bound = tuple[float, float]
"""Hours and dollars that what was left unpriced takes at least. Iteration seconds and 0 outside cost mode."""


class Ranked(Output):
    """A candidate and its place in the order of all."""

    rank: Rank
    candidate: Candidate


class Part(Output):
    """What a share of the space holds. Plain numbers and candidates: it travels as JSON.

    `left` bounds what was not priced: the Pareto set of lower bounds.
    """

    mode: Mode
    limit: int
    candidates: list[Ranked] = Field(default=[])
    frontier: list[Ranked] = Field(default=[])
    enumerated: int
    after_rules: int
    after_memory: int
    evaluated: int
    layouts: int = 0
    mixes: int = 0
    fillable: bool = True
    least_over: float | None = None
    left: list[Bound] = Field(default=[])
    seconds: float
    dropped: dict[str, int]
    dimensions: dict[str, int]


def join(parts: Sequence[Part]) -> Part:
    """Return the part of the space that `parts`, at least one, hold together."""
    return reduce(_join, parts)


def _join(one: Part, other: Part) -> Part:
    overs = [over for over in (one.least_over, other.least_over) if over is not None]
    sums = ("enumerated", "after_rules", "after_memory", "evaluated", "layouts", "seconds")
    after_memory = one.after_memory + other.after_memory
    return one.model_copy(
        update={name: getattr(one, name) + getattr(other, name) for name in sums}
        | {
            "candidates": best([*one.candidates, *other.candidates], one.limit),
            "frontier": front([*one.frontier, *other.frontier]),
            "mixes": min(one.mixes + other.mixes, one.limit),
            "fillable": one.fillable or other.fillable,
            "least_over": min(overs, default=None) if not after_memory else None,
            "left": lowest([*one.left, *other.left]),
            "dropped": added(one.dropped, other.dropped),
        }
    )


def best(ranked: Sequence[Ranked], limit: int) -> list[Ranked]:
    """Return the `limit` best."""
    return sorted(ranked, key=lambda one: one.rank)[:limit]


def front(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Return those that no other beats or equals in both time and money, ascending by time; of equals the first."""
    ordered = sorted(ranked, key=lambda one: one.rank)
    cheapest = accumulate((one.rank[1] for one in ordered), min, initial=float("inf"))
    return [one for one, before in zip(ordered, cheapest, strict=False) if one.rank[1] < before]


def lowest(bounds: Sequence[Bound]) -> list[Bound]:
    """Return the Pareto set of lower bounds: they bound all the others too."""
    ordered = sorted(bounds)
    cheapest = accumulate((money for _, money in ordered), min, initial=float("inf"))
    return [bound for bound, before in zip(ordered, cheapest, strict=False) if bound[1] < before]


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of two counts by rule."""
    return {rule: one.get(rule, 0) + other.get(rule, 0) for rule in [*one, *(set(other) - set(one))]}
