"""The three modes of a search: one GPU type, several in one pipeline, or any number under a money limit.

Each has two halves. `part` searches a share of the space; `answer` reads the answer off the joined parts.
"""

from planner.engine.modes import cost, heterogeneous, homogeneous
from planner.engine.modes.question import Question

__all__ = ["Question", "cost", "heterogeneous", "homogeneous"]
