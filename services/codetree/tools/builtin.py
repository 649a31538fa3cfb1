"""Tools that come with the service: asking a model, and the planner. The host carries them out; keys stay with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codetree.engine.values import Ask, Function, Hosted, Tool

if TYPE_CHECKING:
    from pydantic import JsonValue

LLM = "llm"
PLANNER = "planner"
_OBJECT: JsonValue = {"type": "object"}
_TEXT: JsonValue = {"type": "string"}


def llm_tool(model: str | None, max_output_tokens: int, max_calls: int) -> Tool:
    """``ask_llm(prompt)``, paid from the episode's budget."""
    described = "Ask a language model. It sees nothing but the prompt. Raises an error when the budget is spent."
    function = Hosted("ask_llm", described, _parameters(prompt=_TEXT), max_calls=max_calls)
    shown = Function("def ask_llm(prompt: str) -> str", described)
    about = "a language model, for what code cannot do, such as reading or judging text"
    return Tool(LLM, about, "", (shown,), hosted=(function,), ask=Ask(model, max_output_tokens))


def planner_tool(max_calls: int) -> Tool:
    """``plan``, ``estimate`` and ``catalog`` of the planner service."""
    hosted = tuple(
        Hosted(name, docstring.partition("\n")[0], parameters, max_calls=max_calls)
        for name, (_, docstring, parameters) in _PLANNER.items()
    )
    shown = tuple(Function(signature, docstring) for signature, docstring, _ in _PLANNER.values())
    return Tool(PLANNER, "finds how to train large language models on GPUs", "", shown, hosted=hosted)


def _parameters(**properties: JsonValue) -> dict[str, JsonValue]:
    return {"type": "object", "properties": properties}


_PLAN = """\
Search for the best ways to train a model.

model: {"preset": "llama-2-7b"}; catalog("models") lists the presets.
workload: {"global_batch_size": 512, "sequence_length": 4096, "tokens": 1e12, "precision": "bf16"}.
cluster: {"mode": "homogeneous", "gpu": "h100-80gb-sxm", "count": 64}, or
{"mode": "heterogeneous", "total": 64, "limits": {"a800-80gb-sxm": 32, "h100-80gb-sxm": 32}}, or, to choose type
and number by money, {"mode": "cost", "gpus": ["h100-80gb-sxm"], "max_count": 1024, "max_money": 2e6,
"deadline_hours": 720} (max_money, deadline_hours or both; the workload must have "tokens").
Returns {"best", "candidates", "frontier", "reasons"}: best is None when nothing is feasible, and reasons say why.
A candidate has "gpu", "gpus" (how many), "strategy", "estimate" ({"iteration_seconds", "hours", ...}) and, with
tokens, "cost" ({"usd", "hours", "usd_per_hour", ...}). In mode cost best is the fastest within the limits, and
frontier holds every candidate that no other beats in both time and money: look there for the cheapest."""
_ESTIMATE = """\
What given strategies come to, in their order.

model, workload and cluster as for plan, the cluster homogeneous or heterogeneous. A strategy is such as
{"tensor_parallel": 4, "pipeline_parallel": 2, "micro_batch_size": 1, "sharding": "zero1"}.
Returns for each {"feasible", "reasons", "iteration_seconds", "tokens_per_second_per_gpu",
"model_flops_utilization", "memory", "breakdown", ...}."""
_CATALOG = 'What the planner knows: kind is "gpus", "models" or "prices" (US dollars for an hour of a GPU).'
_ASKED: dict[str, JsonValue] = {"model": _OBJECT, "workload": _OBJECT, "cluster": _OBJECT}
_PLANNER = {
    "plan": (
        "def plan(model: dict, workload: dict, cluster: dict, search: dict | None = None) -> dict",
        _PLAN,
        _parameters(**_ASKED, search=_OBJECT),
    ),
    "estimate": (
        "def estimate(model: dict, workload: dict, cluster: dict, strategies: list[dict]) -> list[dict]",
        _ESTIMATE,
        _parameters(**_ASKED, strategies={"type": "array"}),
    ),
    "catalog": ("def catalog(kind: str) -> list[dict]", _CATALOG, _parameters(kind=_TEXT)),
}
