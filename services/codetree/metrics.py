"""What a worker counts of its episodes, for its /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from codetree.engine.ports import LLMError
    from codetree.engine.values import LLMReply, Price

OTHER_MODELS = "other"
"""Stands for all models that are not configured: callers name them, so that there is no end of them."""

LLM_CALLS = Counter("astrolabe_llm_calls", "Calls of models by outcome.", ["model", "outcome"])
LLM_TOKENS = Counter("astrolabe_llm_tokens", "Tokens sent to models and written by them.", ["model", "direction"])
LLM_COST = Counter("astrolabe_llm_cost_usd", "US dollars spent on models whose price is known.", ["model"])
LLM_SECONDS = Histogram(
    "astrolabe_llm_call_seconds",
    "From a call's first try to its reply.",
    ["model"],
    buckets=(0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300),
)
NODES = Counter("astrolabe_nodes", "Finished nodes by how they ended.", ["status"])
TOOL_CALLS = Counter("astrolabe_tool_calls", "Hosted functions that programs called.", ["function", "outcome"])


def count_reply(model: str, reply: LLMReply, price: Price | None) -> None:
    """Count a call that was answered."""
    used = reply.usage
    LLM_CALLS.labels(model, "ok").inc()
    LLM_SECONDS.labels(model).observe(reply.latency_seconds)
    LLM_TOKENS.labels(model, "input").inc(used.input_tokens)
    LLM_TOKENS.labels(model, "output").inc(used.output_tokens)
    if price is not None:
        LLM_COST.labels(model).inc(price.money_usd(used.input_tokens, used.output_tokens))


def count_failure(model: str, error: LLMError) -> None:
    """Count a call that was not answered."""
    LLM_CALLS.labels(model, error.kind.value).inc()
