"""Batches: what was accepted, what was refused, and how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from astrolabe.render.console import first_line, line, styled
from astrolabe.render.jobs import STATUS_STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from astrolabe.batches.models import BatchReceipt, BatchState, Rejection

_SHOWN_REJECTIONS = 20
_STATUS_STYLES = {"finished": "green", "cancelling": "yellow", "running": "cyan"}


def print_receipt(console: Console, receipt: BatchReceipt) -> None:
    """One line on what became of the lines of a batch."""
    name = f"Batch {receipt.id}" if receipt.id else "Checked only"
    earlier = f", {receipt.duplicates:,} were submitted before" if receipt.duplicates else ""
    text = f"{name}: {receipt.accepted:,} of {receipt.total:,} lines accepted{earlier}, {receipt.rejected:,} rejected"
    console.print(Text(line(text)))


def print_rejections(console: Console, rejections: Sequence[Rejection]) -> None:
    """A line for each of the first refused lines, and how many more there are."""
    for rejection in rejections[:_SHOWN_REJECTIONS]:
        name = f" ({rejection.external_id})" if rejection.external_id else ""
        text = f"line {rejection.line}{name}: {_why(rejection)}"
        console.print(Text(f"  {line(text)}", style="red"))
    if (more := len(rejections) - _SHOWN_REJECTIONS) > 0:
        console.print(Text(f"  and {more:,} more: --json lists them all"))


def _why(rejection: Rejection) -> str:
    problem = rejection.problem
    if not problem.errors:
        return first_line(problem.detail or problem.title)
    remedies = (
        f"{error.field}: {error.message}{f'; {error.remedy}' if error.remedy else ''}" for error in problem.errors
    )
    return "; ".join(remedies)


def print_batch(console: Console, batch: BatchState) -> None:
    """One line: its state, and how many of its jobs are in each."""
    counts = [(name, count) for name, count in batch.counts.model_dump().items() if count]
    parts: list[str | tuple[str, str]] = [f"Batch {batch.id} ", (batch.status, _STATUS_STYLES[batch.status]), ":"]
    for name, count in counts:
        parts += [f" {count:,} ", (name, STATUS_STYLES.get(name, ""))]
    console.print(styled(*parts, "" if counts else " no jobs"))
