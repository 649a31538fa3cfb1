"""Named models of the catalogue."""

from __future__ import annotations

from planner.catalog import find_model
from planner.engine.model.architecture import Architecture


def from_preset(name: str) -> Architecture:
    """Return the preset called `name`; raises `planner.catalog.UnknownNameError`."""
    preset = find_model(name)
    return Architecture(name=preset.name, **preset.dimensions)
