"""Batches: thousands of requests accepted as one, followed, cancelled and read back as one."""

from kit.batches.lines import Line
from kit.batches.store import cancel_some
from kit.batches.web import BatchLines, batch_router

__all__ = ["BatchLines", "Line", "batch_router", "cancel_some"]
