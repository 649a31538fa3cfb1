"""The price of strategies: pipeline and step joined, data-parallel traffic hidden where a pass can hide it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.engine.cost.pipeline import PipelineTimes, pipeline_times
from planner.engine.cost.step import StepTimes, exposed_share, step_times

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.space import Layouts, Options
    from planner.engine.types import Floats, Ints


SAFE = 1 - 1e-9
"""Keeps a lower bound below the price it bounds when the two are summed in another order."""


@dataclass(frozen=True, slots=True)
class Pricer:
    """Times of layouts with the work axes and the state axes each flattened.

    `pipeline`, `forward`, `backward`: (layouts, work options). The others: (layouts, state options).
    """

    pipeline: Floats
    forward: Floats
    backward: Floats
    reduce: Floats
    reduce_floor: Floats
    gather: Floats
    gather_floor: Floats
    repeats: Floats
    fixed: Floats
    straggling: Floats

    def bounds(self) -> Floats:
        """Return a lower bound of the iteration time of each (layout, work option) over all state options."""
        least = (self.fixed + self.reduce_floor + self.gather_floor).min(axis=1)
        bounds: Floats = (self.pipeline + least[:, None]) * self.straggling[:, None]
        return bounds * SAFE

    def seconds(self, layout: Ints, work: Ints, state: Ints) -> Floats:
        """Return iteration seconds of each (layout[i], work[i]) with each of `state`, shape (len(layout), len(state)).

        A reduction of r seconds under a window of w shows max(r - w, floor): overlapping never hides all of it.
        """

        def of_pairs(values: Floats) -> Floats:
            return values[:, state][layout]

        repeats = of_pairs(self.repeats)
        shown = of_pairs(self.reduce)
        shown -= self.backward[layout, work][:, None] * repeats
        np.maximum(shown, of_pairs(self.reduce_floor), out=shown)
        gathered = of_pairs(self.gather)
        gathered -= self.forward[layout, work][:, None] * repeats
        np.maximum(gathered, of_pairs(self.gather_floor), out=gathered)
        seconds = self.pipeline[layout, work][:, None] + shown
        seconds += gathered
        seconds += of_pairs(self.fixed)
        seconds *= self.straggling[layout][:, None]
        return seconds


def price(problem: Problem, layouts: Layouts, options: Options) -> Pricer:
    """Return the pricer of `layouts`."""
    return assemble(
        problem, layouts, options, pipeline_times(problem, layouts, options), step_times(problem, layouts, options)
    )


def assemble(problem: Problem, layouts: Layouts, options: Options, pipeline: PipelineTimes, step: StepTimes) -> Pricer:
    """Flatten the work axes of `pipeline` and the state axes of `step`."""
    calibration = problem.device.calibration
    work = (len(layouts), *options.work_shape)
    state = (len(layouts), *options.state_shape)

    def flat_work(values: Floats) -> Floats:
        return np.broadcast_to(values, work).reshape(len(layouts), -1)

    def flat_state(values: Floats) -> Floats:
        return np.broadcast_to(values, state).reshape(len(layouts), -1)

    reduce_hidden = options.grad_reduce_overlap[:, None]
    gather_hidden = options.param_gather_overlap
    reduce, gather = step.reduce[:, :, None, None, None], step.gather[:, :, None, None, None]
    slow = exposed_share(problem)
    fixed = (step.optimizer + step.offload)[..., None, None] + step.fixed[:, None, None, None, None]
    return Pricer(
        pipeline=flat_work(pipeline.total),
        forward=flat_work(pipeline.first_forward * calibration.overlap_window),
        backward=flat_work(pipeline.last_backward * calibration.overlap_window),
        reduce=flat_state(reduce),
        reduce_floor=flat_state(np.where(reduce_hidden, slow * reduce, reduce)),
        gather=flat_state(gather),
        gather_floor=flat_state(np.where(gather_hidden, slow * gather, gather)),
        repeats=flat_state(step.repeats[:, :, None, None, None]),
        fixed=flat_state(fixed),
        straggling=step.straggling,
    )
