"""The project's default calibrations: fitted on the measurements it carries, written as a catalogue file."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from planner.calibration.effects import Hierarchy
from planner.validation.report import read_cases
from planner.validation.rows import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from planner.validation.report import Reading

FIT_TIERS = ("A", "")
_WORTH_WRITING = 0.01
_HEADER = """\
# Factors on the bases of calibrations.toml, fitted by `python -m planner calibrate --write` on {rows} measured runs
# (measurements.csv, tier A, {sources} sources). A row's calibration is its generation's base times the factors of its
# generation, its software stack and its GPU; what is not listed is 1. Do not edit: fit again.
"""


def measurements_path() -> Path:
    """Return the measured runs the project carries."""
    return Path(str(resources.files("planner.catalog") / "measurements.csv"))


def fitted_path() -> Path:
    """Return the catalogue file the fit writes."""
    return Path(str(resources.files("planner.catalog") / "calibrations_fitted.toml"))


def read_measurements(path: Path) -> Reading:
    """Return the rows of the tiers a fit uses, and those that state none; RowsError when the file is no table."""
    return read_cases([row for row in read_rows(path) if row.text("tier") in FIT_TIERS])


def fit_defaults(reading: Reading) -> str:
    """Return the text of calibrations_fitted.toml."""
    hierarchy = Hierarchy.of(reading.priced)
    effects = hierarchy.effects(hierarchy.settled())
    sources = {one.case.row.text("source") for one in reading.priced}
    return _HEADER.format(rows=len(reading.priced), sources=len(sources)) + render(effects)


def render(effects: Mapping[tuple[str, str], Mapping[str, float]]) -> str:
    """Return the factors of generations, stacks and GPUs as TOML; those within 1 % of 1 are left out."""
    tables = []
    for (level, name), factors in effects.items():
        if level == "source":
            continue
        lines = [f"{key} = {value:.3f}" for key, value in factors.items() if abs(math.log(value)) > _WORTH_WRITING]
        tables.append("\n".join(("", f"[[{level}]]", f'name = "{name}"', *lines, "")))
    return "".join(tables)
