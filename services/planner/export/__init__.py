"""A plan rendered for those who will run it, or look at it."""

from planner.export.context import CannotExpressError, Export, PlanContext
from planner.export.render import FORMATS, render

__all__ = ["FORMATS", "CannotExpressError", "Export", "PlanContext", "render"]
