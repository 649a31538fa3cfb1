"""Numbering equal rows alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from planner.engine.types import Bools, Ints

_SMALL_TABLE = 1 << 12
_SLOTS_PER_ROW = 16
_FEW_ROWS = 48


def group_rows(columns: Iterable[Ints]) -> tuple[Ints, Ints]:
    """Return a row of each distinct kind, and the kind of every row of the table with these `columns`.

    Column by column: the kinds so far times the values of the next are few, so that counting beats sorting. A few rows
    are sorted before the first count would have begun.
    """
    columns = list(columns)
    if columns and len(columns[0]) <= _FEW_ROWS:
        return _sorted_rows(list(zip(*(column.tolist() for column in columns), strict=True)))
    kind = np.zeros(0, np.int64)
    for position, column in enumerate(columns):
        offset = column - column.min(initial=0)
        values = int(offset.max(initial=0)) + 1
        kind = _renumbered(offset if position == 0 else kind * values + offset)
    first = np.zeros(int(kind.max(initial=-1)) + 1, np.int64)
    first[kind[::-1]] = np.arange(len(kind) - 1, -1, -1)
    return first, kind


def _sorted_rows(rows: list[tuple[int, ...]]) -> tuple[Ints, Ints]:
    rank = {row: position for position, row in enumerate(sorted(set(rows)))}
    kind = [rank[row] for row in rows]
    first = [kind.index(position) for position in range(len(rank))]
    return np.array(first, np.int64), np.array(kind, np.int64)


def group_masks(table: Bools) -> tuple[Ints, Ints]:
    """Return what `group_rows` does for a table of booleans, shape (rows, columns): eight columns at a time."""
    return group_rows(np.packbits(table, axis=1).T.astype(np.int64))


def _renumbered(key: Ints) -> Ints:
    """Return the ranks of the values of `key`, equal ones alike."""
    largest = int(key.max(initial=0))
    if largest >= max(_SMALL_TABLE, _SLOTS_PER_ROW * len(key)):
        return np.unique(key, return_inverse=True)[1]
    present = np.zeros(largest + 1, np.bool_)
    present[key] = True
    ranks: Ints = (np.cumsum(present) - 1)[key]
    return ranks
