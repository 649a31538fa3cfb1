"""Bodies of the codetree API."""

from codetree.schemas.policies import (
    MAX_PROGRAMS,
    CodeActPolicyRequest,
    ExplorationRequest,
    PolicyRequest,
    ProgramPolicyRequest,
    ProgramsPolicyRequest,
    TreePolicyRequest,
)
from codetree.schemas.requests import (
    MAX_TOOL_CHARACTERS,
    AnswerFormatRequest,
    LimitsRequest,
    PlannerToolRequest,
    ReplayRequest,
    SolveRequest,
    StoredRequest,
    ToolRequest,
)
from codetree.schemas.views import Node, SolveResult, SolveView, Tree, UsageView, Vote

__all__ = [
    "MAX_PROGRAMS",
    "MAX_TOOL_CHARACTERS",
    "AnswerFormatRequest",
    "CodeActPolicyRequest",
    "ExplorationRequest",
    "LimitsRequest",
    "Node",
    "PlannerToolRequest",
    "PolicyRequest",
    "ProgramPolicyRequest",
    "ProgramsPolicyRequest",
    "ReplayRequest",
    "SolveRequest",
    "SolveResult",
    "SolveView",
    "StoredRequest",
    "ToolRequest",
    "Tree",
    "TreePolicyRequest",
    "UsageView",
    "Vote",
]
