"""Tree-of-Code episodes (arXiv 2412.15305), pure but for the ports in ``codetree.engine.ports``."""

from codetree.engine.answers import AnswerFormat, AnswerType
from codetree.engine.budget import Limits
from codetree.engine.episode import run_episode
from codetree.engine.events import Event, EventType
from codetree.engine.exploration import Exploration, PromptPool, PromptVariant
from codetree.engine.journal import MemoryJournal
from codetree.engine.outcome import EpisodeResult, StopReason
from codetree.engine.policy import PolicyKind, TreePolicy, code_actions, many_programs, one_program
from codetree.engine.ports import (
    LLM,
    Executor,
    ExecutorError,
    Journal,
    LLMError,
    LLMErrorKind,
    LLMFailure,
    Services,
    ToolFailedError,
    ToolHost,
)
from codetree.engine.replay import NobodyExecutor, NobodyLLM, Replay
from codetree.engine.spec import EpisodeSpec
from codetree.engine.tree import Node, NodeStatus
from codetree.engine.values import (
    Ask,
    CallKey,
    Execution,
    ExecutionStatus,
    Function,
    Hosted,
    LLMCall,
    LLMReply,
    Message,
    ModelSpec,
    Price,
    Program,
    TokenUsage,
    Tool,
    ToolOutcome,
    Usage,
)
from codetree.engine.vote import DecidedBy, Vote

__all__ = [
    "LLM",
    "AnswerFormat",
    "AnswerType",
    "Ask",
    "CallKey",
    "DecidedBy",
    "EpisodeResult",
    "EpisodeSpec",
    "Event",
    "EventType",
    "Execution",
    "ExecutionStatus",
    "Executor",
    "ExecutorError",
    "Exploration",
    "Function",
    "Hosted",
    "Journal",
    "LLMCall",
    "LLMError",
    "LLMErrorKind",
    "LLMFailure",
    "LLMReply",
    "Limits",
    "MemoryJournal",
    "Message",
    "ModelSpec",
    "NobodyExecutor",
    "NobodyLLM",
    "Node",
    "NodeStatus",
    "PolicyKind",
    "Price",
    "Program",
    "PromptPool",
    "PromptVariant",
    "Replay",
    "Services",
    "StopReason",
    "TokenUsage",
    "Tool",
    "ToolFailedError",
    "ToolHost",
    "ToolOutcome",
    "TreePolicy",
    "Usage",
    "Vote",
    "code_actions",
    "many_programs",
    "one_program",
    "run_episode",
]
