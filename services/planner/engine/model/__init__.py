"""What a model is: its dimensions, its parameters, and where both are read from."""

from planner.engine.model.architecture import Architecture
from planner.engine.model.huggingface import FAMILIES, from_huggingface
from planner.engine.model.parameters import ParameterCounts, count_parameters
from planner.engine.model.presets import from_preset

__all__ = ["FAMILIES", "Architecture", "ParameterCounts", "count_parameters", "from_huggingface", "from_preset"]
