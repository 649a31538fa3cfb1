"""Agent Trajectory Interchange Format (Harbor's RFC, version 1.7): one trajectory for each path from root to leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codetree.engine.tree import parent_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from pydantic import JsonValue

    from codetree.engine.tree import Node
    from codetree.export.episode import Finished

SCHEMA_VERSION = "ATIF-v1.7"
_AGENT = "astrolabe-codetree"


def trajectories(episode: Finished, ends: Collection[str]) -> Iterator[dict[str, JsonValue]]:
    """The paths that end in one of ``ends``: a path that goes on beyond it is another trajectory."""
    for path in ends:
        yield _trajectory(episode, [episode.nodes[each] for each in _lineage(path)])


def _lineage(path: str) -> list[str]:
    parent = parent_of(path)
    return [*_lineage(parent), path] if parent else [path]


def _trajectory(episode: Finished, nodes: Sequence[Node]) -> dict[str, JsonValue]:
    steps: list[JsonValue] = []
    for message in episode.prompt(nodes[0]):
        steps.append({"step_id": len(steps) + 1, "source": message.role, "message": message.content})
    for node in nodes:
        steps.append({"step_id": len(steps) + 1, **_step(episode, node)})
    last = nodes[-1]
    money = [node.usage.money_usd for node in nodes]
    return {
        "schema_version": SCHEMA_VERSION,
        "session_id": f"{episode.job_id}/{last.path}",
        "agent": {
            "name": _AGENT,
            "version": episode.result.prompt_version,
            "model_name": last.model,
        },
        "steps": steps,
        "final_metrics": {
            "total_prompt_tokens": sum(node.usage.input_tokens for node in nodes),
            "total_completion_tokens": sum(node.usage.output_tokens for node in nodes),
            "total_cost_usd": None if None in money else sum(part or 0.0 for part in money),
            "total_steps": len(steps),
        },
        "extra": {"group_id": episode.group_id, "status": last.status.value, "vote_share": episode.vote_share(last)},
    }


def _step(episode: Finished, node: Node) -> dict[str, JsonValue]:
    call_id, execution = f"execute-{node.path}", node.execution
    seen = f"{execution.stdout}\n{execution.stderr}".strip() if execution else ""
    answered = "" if node.error else f"final_answer: {node.answer!r}"
    call: JsonValue = {"tool_call_id": call_id, "function_name": "execute", "arguments": {"code": node.code}}
    result: JsonValue = {"source_call_id": call_id, "content": "\n".join(filter(None, [seen, node.error, answered]))}
    return {
        "source": "agent",
        "model_name": node.model,
        "message": node.thought or episode.completion(node),
        "tool_calls": [call] if node.code is not None else [],
        "observation": {"results": [result] if node.code is not None else []},
        "metrics": {
            "prompt_tokens": node.usage.input_tokens,
            "completion_tokens": node.usage.output_tokens,
            "cost_usd": node.usage.money_usd,
        },
    }
