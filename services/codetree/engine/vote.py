"""The majority vote over successful nodes that decides an episode (arXiv 2412.15305), with its provenance."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from codetree.engine.answers import AnswerFormat, canonical, same
from codetree.engine.tree import Node, NodeStatus, breadth_first

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class DecidedBy(StrEnum):
    """What made the answer the answer. Ties go to the earliest layer, then to the fewest tokens, then to node order."""

    ONLY_SUCCESS = "only_success"
    UNANIMITY = "unanimity"
    MAJORITY = "majority"
    PLURALITY = "plurality"
    TIE_EARLIEST_LAYER = "tie_earliest_layer"
    TIE_FEWEST_TOKENS = "tie_fewest_tokens"
    TIE_NODE_ORDER = "tie_node_order"


@dataclass(frozen=True, slots=True)
class Vote:
    """One cluster of equal answers. ``answer`` is its best member's own, as given; ``nodes`` are in node order."""

    answer: JsonValue
    count: int
    share: float
    nodes: tuple[str, ...]


class Verdict(NamedTuple):
    """Clusters, the winner first. No successful node: no votes, no answer."""

    votes: tuple[Vote, ...]
    decided_by: DecidedBy | None


class _Cluster(NamedTuple):
    canonical: JsonValue
    members: list[Node]

    @property
    def best(self) -> Node:
        return min(self.members, key=_seniority)


def count_votes(nodes: Iterable[Node], answer_format: AnswerFormat) -> Verdict:
    """Cluster the successful nodes' answers and rank the clusters.

    Tolerance is not transitive, so membership is defined, not discovered: in node order, an answer joins the first
    cluster whose founding answer it equals, or founds one.
    """
    clusters = _cluster(nodes, answer_format)
    ranked = sorted(clusters, key=lambda cluster: (-len(cluster.members), _seniority(cluster.best)))
    total = sum(len(cluster.members) for cluster in ranked)
    return Verdict(tuple(_vote(cluster, total) for cluster in ranked), _decided_by(ranked, total))


def _cluster(nodes: Iterable[Node], answer_format: AnswerFormat) -> list[_Cluster]:
    clusters: list[_Cluster] = []
    successes = (node for node in nodes if node.status is NodeStatus.SUCCEEDED)
    for node in sorted(successes, key=lambda node: breadth_first(node.path)):
        answer = canonical(node.answer, answer_format)
        home = next((c for c in clusters if same(c.canonical, answer, answer_format.tolerance)), None)
        if home is None:
            clusters.append(_Cluster(answer, [node]))
        else:
            home.members.append(node)
    return clusters


def _seniority(node: Node) -> tuple[int, int, tuple[int, ...]]:
    layer, order = breadth_first(node.path)
    return layer, node.usage.tokens, order


def _vote(cluster: _Cluster, total: int) -> Vote:
    members = cluster.members
    return Vote(cluster.best.answer, len(members), len(members) / total, tuple(node.path for node in members))


def _decided_by(ranked: Sequence[_Cluster], total: int) -> DecidedBy | None:
    if not ranked:
        return None
    winner, count = ranked[0], len(ranked[0].members)
    if count == total:
        return DecidedBy.ONLY_SUCCESS if total == 1 else DecidedBy.UNANIMITY
    if count == len(ranked[1].members):
        return _tie_rule(winner.best, ranked[1].best)
    return DecidedBy.MAJORITY if 2 * count > total else DecidedBy.PLURALITY


def _tie_rule(winner: Node, second: Node) -> DecidedBy:
    if winner.layer != second.layer:
        return DecidedBy.TIE_EARLIEST_LAYER
    if winner.usage.tokens != second.usage.tokens:
        return DecidedBy.TIE_FEWEST_TOKENS
    return DecidedBy.TIE_NODE_ORDER
