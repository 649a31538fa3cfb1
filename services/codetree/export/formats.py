"""The records of each format, one JSON object a line. Every record says where it comes from and who labelled it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from codetree.engine.tree import NodeStatus
from codetree.export.atif import trajectories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic import JsonValue

    from codetree.engine.tree import Node
    from codetree.engine.values import Message
    from codetree.export.episode import Finished
    from codetree.export.filters import Filters

Record = dict[str, "JsonValue"]


class ExportKind(StrEnum):
    """The formats: TRL's chat, preference and unpaired preference, rollouts, and Harbor's trajectories."""

    SFT = "sft"
    PREFERENCE = "preference"
    KTO = "kto"
    RL = "rl"
    ATIF = "atif"


def records(kind: ExportKind, episode: Finished, filters: Filters, seen: set[tuple[str, str]]) -> Iterator[Record]:
    """The episode's records; ``seen`` carries deduplication from episode to episode."""
    if filters.takes(episode):
        yield from _FORMATS[kind](episode, filters.nodes(episode, seen), filters)


def _sft(episode: Finished, nodes: Sequence[Node], filters: Filters) -> Iterator[Record]:
    """Chats: what the node was told, and its reply."""
    for node in nodes:
        if not filters.verified or filters.is_good(episode, node):
            messages = [*_chat(episode.prompt(node)), _said(episode, node)]
            yield {"messages": messages, "metadata": _origin(episode, node, filters)}


def _preference(episode: Finished, nodes: Sequence[Node], filters: Filters) -> Iterator[Record]:
    """Pairs of a good and a bad reply, siblings first. Prompts that differ are kept beside the common one."""
    good = [node for node in nodes if filters.is_good(episode, node)]
    bad = [node for node in nodes if not filters.is_good(episode, node)]
    for chosen in good:
        if not bad:
            return
        rejected = min(bad, key=lambda node: (node.parent != chosen.parent, abs(node.layer - chosen.layer), node.path))
        bad.remove(rejected)
        alike = episode.prompt(chosen) == episode.prompt(rejected)
        yield {
            "prompt": _chat(episode.prompt(chosen) if alike else episode.task_prompt()),
            "chosen": [_said(episode, chosen)],
            "rejected": [_said(episode, rejected)],
            "metadata": {
                "same_prompt": alike,
                "chosen": _origin(episode, chosen, filters),
                "rejected": _origin(episode, rejected, filters),
                **({} if alike else {"chosen_prompt": _chat(episode.prompt(chosen))}),
                **({} if alike else {"rejected_prompt": _chat(episode.prompt(rejected))}),
            },
        }


def _kto(episode: Finished, nodes: Sequence[Node], filters: Filters) -> Iterator[Record]:
    """Every reply with its label."""
    for node in nodes:
        yield {
            "prompt": _chat(episode.prompt(node)),
            "completion": [_said(episode, node)],
            "label": filters.is_good(episode, node),
            "metadata": _origin(episode, node, filters),
        }


def _rl(episode: Finished, nodes: Sequence[Node], filters: Filters) -> Iterator[Record]:
    """Rollouts with the parts of their reward; endpoints of this kind give neither token ids nor log-probabilities."""
    for node in nodes:
        gold = episode.is_gold(node)
        parts: Record = {
            "executed": float(node.status is NodeStatus.SUCCEEDED),
            "vote_share": episode.vote_share(node),
            "gold": None if gold is None else float(gold),
        }
        yield {
            "prompt": _chat(episode.prompt(node)),
            "completion": [_said(episode, node)],
            "group_id": episode.group_id,
            "reward": float(filters.is_good(episode, node)),
            "reward_parts": parts,
            "token_ids": None,
            "logprobs": None,
            "metadata": _origin(episode, node, filters),
        }


def _atif(episode: Finished, nodes: Sequence[Node], filters: Filters) -> Iterator[Record]:
    taken = {node.path for node in nodes if not filters.verified or filters.is_good(episode, node)}
    yield from trajectories(episode, taken)


_FORMATS: dict[ExportKind, Callable[[Finished, Sequence[Node], Filters], Iterator[Record]]] = {
    ExportKind.SFT: _sft,
    ExportKind.PREFERENCE: _preference,
    ExportKind.KTO: _kto,
    ExportKind.RL: _rl,
    ExportKind.ATIF: _atif,
}


def _chat(messages: Sequence[Message]) -> list[JsonValue]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _said(episode: Finished, node: Node) -> Record:
    return {"role": "assistant", "content": episode.completion(node)}


def _origin(episode: Finished, node: Node, filters: Filters) -> Record:
    return {
        "episode": episode.job_id,
        "node": node.path,
        "group_id": episode.group_id,
        "model": node.model,
        "provider": node.provider,
        "prompt_version": episode.result.prompt_version,
        "prompt_variant": node.prompt_variant,
        "temperature": node.temperature,
        "status": node.status.value,
        "label_source": filters.label_source.value,
        "tokens": node.usage.tokens,
        "tokens_estimated": node.usage.estimated,
    }
