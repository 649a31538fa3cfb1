"""Where each work dimension stands in the arrays of the cost model: (rows, then the work options in their order)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from planner.engine.types import Floats

SEQUENCE, TENSOR_OVERLAP, RECOMPUTE, OFFLOAD, TRANSFER_OVERLAP, CONTEXT_COMM = range(1, 7)
WORK_NDIM = 7


def lift(values: ArrayLike, *axes: int) -> Floats:
    """Return `values` with its dimensions moved to `axes` of a work array, every other axis of length 1."""
    array = np.asarray(values, np.float64)
    shape = [1] * WORK_NDIM
    for axis, length in zip(axes, array.shape, strict=True):
        shape[axis] = length
    return array.reshape(shape)


def rows(values: ArrayLike) -> Floats:
    """Return a column as a work array that varies by row only."""
    return lift(values, 0)
