"""Model presets by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from planner.catalog.loader import UnknownNameError, read_toml


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """Dimensions of one published model, under the engine's own names, and the parameter count its makers give."""

    name: str
    parameters: float
    dimensions: dict[str, Any]
    source: str


@cache
def models() -> dict[str, ModelPreset]:
    """Every preset by name."""
    presets = {}
    for entry in read_toml("models.toml")["model"]:
        dimensions = {"kv_heads": entry["heads"], "head_dim": entry["hidden_size"] // entry["heads"], **entry}
        name, parameters, source = (dimensions.pop(key) for key in ("name", "parameters", "source"))
        presets[name] = ModelPreset(name, parameters, dimensions, source)
    return presets


def find_model(name: str) -> ModelPreset:
    """Return the preset called `name` in any case; UnknownNameError otherwise."""
    key = name.strip().lower().replace("_", "-").replace(" ", "-")
    if key not in models():
        raise UnknownNameError("model", name, models())
    return models()[key]
