"""Executions shared by equal programs: a program that was run is not run again, whoever wrote it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from codetree.engine.values import Execution


class SharedRuns:
    """One episode's executions by fingerprint. An outage is not shared: whoever waited for the run tries again."""

    def __init__(self) -> None:
        self._done: dict[str, Execution] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def remember(self, fingerprint: str | None, execution: Execution) -> None:
        """Keep an execution that was recalled."""
        if fingerprint is not None:
            self._done.setdefault(fingerprint, execution)

    async def run(self, fingerprint: str | None, execute: Callable[[], Awaitable[Execution]]) -> Execution:
        """The execution of the program with this fingerprint, run at most once; ``None`` is equal to nothing."""
        if fingerprint is None:
            return await execute()
        async with self._locks[fingerprint]:
            if fingerprint not in self._done:
                self._done[fingerprint] = await execute()
            return self._done[fingerprint]
