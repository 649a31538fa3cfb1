"""How a search tells how far it is, and is told to stop."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called between chunks; may raise to cancel the search, which then propagates the exception."""

    def __call__(self, phase: str, completed: int, total: int, unit: str) -> None:
        """Report that `completed` of `total` `unit` of `phase` are done."""


def silent(phase: str, completed: int, total: int, unit: str) -> None:
    """Report nothing."""
