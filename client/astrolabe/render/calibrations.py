"""Calibrations as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from astrolabe.render.console import line, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from astrolabe.calibrations import Calibration

_COLUMNS = ("Id", "Name", "GPU", "Stack", "Runs", "Error before", "after", "Created")
_RULED_FROM_COLUMNS = 110


def print_calibrations(console: Console, calibrations: Iterable[Calibration]) -> None:
    """One a row; errors are of iteration time, ``after`` is leave-one-out."""
    grid = table(console, _RULED_FROM_COLUMNS)
    for name in _COLUMNS:
        grid.add_column(name, no_wrap=name != "Name", overflow="fold", min_width=36 if name == "Id" else None)
    for one in calibrations:
        cells = (one.id, one.name, one.gpu, one.stack, str(one.runs), *_errors(one), f"{one.created_at:%Y-%m-%d %H:%M}")
        grid.add_row(*(Text(line(cell)) for cell in cells))
    console.print(grid)


def print_calibration(console: Console, calibration: Calibration) -> None:
    """The errors, how to use it, and the factors that it puts on parameters of the default calibration."""
    print_calibrations(console, [calibration])
    if calibration.memory is not None:
        memory = calibration.memory
        said = f"Peak memory over {memory.runs} runs: {memory.before:.1%} before, {memory.after:.1%} after."
        console.print(Text(said))
    for name, factor in calibration.factors.items():
        console.print(Text(f"  {line(name)} x {factor:.3f}"))
    console.print(Text(f"Use it: astrolabe plan REQUEST.json --set calibration={calibration.id}"))


def _errors(calibration: Calibration) -> tuple[str, str]:
    return f"{calibration.errors.before:.1%}", f"{calibration.errors.after:.1%}"
