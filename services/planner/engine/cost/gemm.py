"""Matrix products: peak x efficiency, where efficiency follows from tiles, waves and the reduction length."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from planner.engine.problem import Problem
    from planner.engine.types import Floats

Size: TypeAlias = "Floats | float"

# Output tiles that libraries choose among, with the share of the best tile's speed a full wave of each reaches:
# smaller tiles load more operand bytes per FLOP.
_TILE_ROWS = np.array([256.0, 128.0, 128.0, 64.0])
_TILE_COLUMNS = np.array([128.0, 128.0, 64.0, 64.0])
_TILE_SPEEDS = np.array([1.0, 0.96, 0.85, 0.68])


def gemm_seconds(problem: Problem, rows: Size, columns: Size, depth: Size, groups: Size = 1.0) -> Floats:
    """Return the time of `groups` products (rows x depth) @ (depth x columns) run as one grouped kernel.

    time = max(FLOPs / (peak x efficiency), bytes / memory rate). Tile quantisation rounds rows and columns up to
    whole tiles; wave quantisation rounds tiles up to whole waves over the multiprocessors; short reductions never
    fill the pipeline: depth / (depth + half_k).
    """
    device = problem.device
    calibration = device.calibration
    peak = device.peak_flops(problem.precision) * device.gemm_efficiency(problem.precision)
    processors = device.gpu.multiprocessors
    flops = 2.0 * np.asarray(rows * columns * depth * groups, np.float64)
    saturation = depth / (depth + calibration.gemm_half_k * (16 / problem.operand_bits))
    each = (-1,) + (1,) * flops.ndim
    tile_rows, tile_columns, speeds = (of.reshape(each) for of in (_TILE_ROWS, _TILE_COLUMNS, _TILE_SPEEDS))
    tiles_down, tiles_across = np.ceil(rows / tile_rows), np.ceil(columns / tile_columns)
    filled = rows * columns / (tiles_down * tile_rows * tiles_across * tile_columns)
    waves = groups * tiles_down * tiles_across / processors
    best: Floats = np.max(speeds * filled * waves / np.ceil(waves), axis=0)
    compute = flops / (peak * best * saturation)
    operand = problem.operand_bits / 8
    moved = groups * (operand * depth * (rows + columns) + 2.0 * rows * columns)
    seconds: Floats = np.maximum(compute, moved / (device.memory_rate * calibration.memory))
    return seconds


def gemm_passes(
    problem: Problem, rows: Size, columns: Size, depth: Size, groups: Size = 1.0
) -> tuple[Floats, Floats, Floats]:
    """Return the times of forward, input gradient and weight gradient of a linear layer over `rows` tokens.

    The three products are timed as one array: on few shapes a call costs more than its arithmetic.
    """
    sizes = np.empty((3, 3, *np.broadcast(rows, columns, depth, groups).shape))
    for position, size in enumerate((rows, rows, columns, columns, depth, depth, depth, columns, rows)):
        sizes[divmod(position, 3)] = size
    forward, input_grad, weight_grad = gemm_seconds(problem, sizes[0], sizes[1], sizes[2], groups)
    return forward, input_grad, weight_grad
