"""Numbering equal rows alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.engine.types import Ints


def group_rows(table: Ints) -> tuple[Ints, Ints]:
    """Return a row of each distinct kind, and the kind of every row of `table`.

    By a 64-bit hash, which is then checked: sorting whole rows costs more than everything the groups are for.
    """
    factors = np.random.default_rng(0).integers(1 << 62, size=table.shape[1], dtype=np.int64) | 1
    hashed = (table.astype(np.int64) * factors).sum(axis=1)
    _, first, kind = np.unique(hashed, return_index=True, return_inverse=True)
    if not np.array_equal(table[first[kind]], table):
        _, first, kind = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, kind.ravel()
