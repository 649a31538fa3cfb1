"""What a search has proven: the bounds of what it left unpriced, against what it found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.engine.inputs import Objective
    from planner.engine.outputs import Candidate
    from planner.engine.parts import Part

_DIGITS = 1e4


def of_best(whole: Part) -> str:
    """Return `exact` when nothing left can enter the list, else by how much it may beat the best."""
    least = min((hours for hours, _ in whole.left), default=math.inf)
    times = [one.rank[0] for one in whole.candidates]
    if least == math.inf or (len(times) >= whole.limit and times[-1] <= least):
        return "exact"
    return _bounded(times[0] / least - 1.0)


def of_front(
    whole: Part,
    within: Sequence[Candidate],
    objective: Objective,
    deadline_hours: float | None,
    max_money: float | None,
) -> str:
    """Return `exact` when the frontier beats all that is left, else how near every better plan is to one that is there.

    A plan that was not found is at most that fraction better, in time and money, than one on the frontier; and where
    it keeps the limits, than the best.
    """
    front = [
        (one.estimate.hours or 0.0, one.cost.usd if one.cost else 0.0) for one in (r.candidate for r in whole.frontier)
    ]
    left = [bound for bound in whole.left if not any(hours <= bound[0] and usd <= bound[1] for hours, usd in front)]
    if not left:
        return "exact"
    gap = max(min((max(hours / one, usd / other) for hours, usd in front), default=math.inf) for one, other in left)
    axis = 1 if objective == "money" else 0
    allowed = [
        bound[axis]
        for bound in left
        if bound[0] <= (deadline_hours or math.inf) and bound[1] <= (max_money or math.inf)
    ]
    if allowed:
        chosen = within[0] if within else None
        values = (
            (math.inf, math.inf)
            if chosen is None
            else (chosen.estimate.hours or 0.0, chosen.cost.usd if chosen.cost else 0.0)
        )
        gap = max(gap, values[axis] / min(allowed))
    return _bounded(gap - 1.0)


def _bounded(gap: float) -> str:
    """Rounded up, so that what is claimed stays true."""
    return f"bounded({math.ceil(max(gap, 0.0) * _DIGITS) / _DIGITS:g})" if math.isfinite(gap) else "bounded(inf)"
