"""The price of strategies: pipeline and step joined, data-parallel traffic hidden where a pass can hide it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from planner.engine.cost.pipeline import PipelineTimes, pipeline_times
from planner.engine.cost.step import StepTimes, exposed_share, step_times

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options, Pairs
    from planner.engine.types import Bools, Floats, Ints


SAFE = 1 - 1e-9
"""Keeps a lower bound below the price it bounds when the two are summed in another order."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Data-parallel traffic of each layout, shape (layouts, shardings): seconds, times a pass can hide it, and shares.

    `shown` is the least share of it that still costs time, per overlap setting.
    """

    seconds: Floats
    repeats: Floats
    shown: Floats

    def exposed(self, layout: Ints, sharding: int, window: Floats) -> Floats:
        """Return what shows of it, shape (overlap settings, pairs).

        r seconds under a window of w show max(r - w, floor): overlapping never hides all of it.
        """
        whole = self.seconds[layout, sharding]
        hidden = whole - window * self.repeats[layout, sharding]
        exposed: Floats = np.maximum(hidden, self.shown[:, None] * whole)
        return exposed


@dataclass(frozen=True, slots=True)
class Pricer:
    """Prices of pairs with any state option.

    `pipeline` and the windows `forward` and `backward`: seconds of each pair. `stepping`: seconds of each layout,
    (layouts, shardings, offload shares). `straggling`: (layouts,).
    """

    layout: Ints
    pipeline: Floats
    forward: Floats
    backward: Floats
    reduce: Traffic
    gather: Traffic
    stepping: Floats
    straggling: Floats

    def bounds(self, admitted: Bools, enough: Ints) -> Floats:
        """Return a lower bound of the iteration time of each pair over the state options that stand.

        `admitted` has shape (layouts, shardings, shares, reduce overlaps, gather overlaps); `enough` is the least
        offload share that fits, (pairs, shardings), the number of shares where none does.
        """
        of_share: Floats = np.full(self.stepping.shape, np.inf)
        for reduce, gather in np.ndindex(admitted.shape[3:]):
            traffic = self.reduce.shown[reduce] * self.reduce.seconds + self.gather.shown[gather] * self.gather.seconds
            least = np.where(admitted[..., reduce, gather], self.stepping + traffic[:, :, None], np.inf)
            np.minimum(of_share, least, out=of_share)
        from_share_on = np.full((*of_share.shape[:2], of_share.shape[2] + 1), np.inf)
        from_share_on[..., :-1] = np.minimum.accumulate(of_share[..., ::-1], axis=2)[..., ::-1]
        floor = np.full(len(self.layout), np.inf)
        for sharding in range(of_share.shape[1]):
            np.minimum(floor, from_share_on[self.layout, sharding, enough[:, sharding]], out=floor)
        bounds: Floats = (self.pipeline + floor) * self.straggling[self.layout]
        return bounds * SAFE

    def seconds(self, pairs: Ints, sharding: int) -> Floats:
        """Return iteration seconds, shape (offload shares, reduce overlaps, gather overlaps, len(pairs)).

        Pairs stand last, so that every operation runs along them.
        """
        layout = self.layout[pairs]
        straggling = self.straggling[layout]
        reduced = self.reduce.exposed(layout, sharding, self.backward[pairs])
        gathered = self.gather.exposed(layout, sharding, self.forward[pairs])
        whole = (reduced + self.pipeline[pairs])[:, None] + gathered[None]
        whole *= straggling
        stepping = self.stepping[layout, sharding].T * straggling
        seconds: Floats = stepping[:, None, None] + whole
        return seconds

    @classmethod
    def of(cls, problem: Problem, options: Options, pairs: Pairs, pipeline: PipelineTimes, step: StepTimes) -> Self:
        """Join the pairs' pipeline and the layouts' step."""
        window, slow = problem.device.calibration.overlap_window, exposed_share(problem)
        return cls(
            layout=pairs.layout,
            pipeline=pipeline.total,
            forward=pipeline.first_forward * window,
            backward=pipeline.last_backward * window,
            reduce=Traffic(step.reduce, step.repeats, np.where(options.grad_reduce_overlap, slow, 1.0)),
            gather=Traffic(step.gather, step.repeats, np.where(options.param_gather_overlap, slow, 1.0)),
            stepping=step.optimizer + step.offload + step.fixed[:, None, None],
            straggling=step.straggling,
        )


def price(problem: Problem, layouts: Layouts, options: Options, pairs: Pairs) -> Pricer:
    """Return the pricer of `pairs`."""
    pipeline = pipeline_times(problem, layouts, options, pairs)
    return Pricer.of(problem, options, pairs, pipeline, step_times(problem, layouts, options))
