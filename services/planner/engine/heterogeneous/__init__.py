"""Search over unlike GPU types in one pipeline.

Every stage on one type, types in runs, layers dealt unevenly, exactly.
"""

from planner.engine.heterogeneous.answer import candidate_of
from planner.engine.heterogeneous.passes import stage_passes
from planner.engine.heterogeneous.search import Mix, Mixes, find_mix
from planner.engine.heterogeneous.tables import Pool

__all__ = ["Mix", "Mixes", "Pool", "candidate_of", "find_mix", "stage_passes"]
