from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from codetree.engine import AnswerFormat, DecidedBy, Node, NodeStatus, Usage
from codetree.engine.vote import count_votes

ANY = AnswerFormat()


def success(path: str, answer: object, tokens: int = 10) -> Node:
    usage = Usage(llm_calls=1, output_tokens=tokens)
    return Node(path, "m", "seed", NodeStatus.SUCCEEDED, answer=answer, usage=usage)  # type: ignore[arg-type]


def decision(*nodes: Node) -> tuple[object, DecidedBy | None]:
    verdict = count_votes(nodes, ANY)
    return (verdict.votes[0].answer if verdict.votes else None), verdict.decided_by


def test_no_success_decides_nothing() -> None:
    assert decision(Node("1", "m", "seed", NodeStatus.FAILED, answer=3)) == (None, None)


def test_a_null_answer_is_an_answer() -> None:
    assert decision(success("1", None)) == (None, DecidedBy.ONLY_SUCCESS)


def test_agreement() -> None:
    assert decision(success("1", 7), success("2", "7.0")) == (7, DecidedBy.UNANIMITY)


def test_more_than_half() -> None:
    assert decision(success("1", 8), success("2", 7), success("3", 7)) == (7, DecidedBy.MAJORITY)


def test_the_largest_cluster_below_half() -> None:
    nodes = [success("1", 1), success("2", 2), success("3", 3), success("4", 3)]
    assert decision(*nodes, success("5", 4)) == (3, DecidedBy.PLURALITY)


def test_a_tie_goes_to_the_earliest_layer() -> None:
    assert decision(success("1.1", 7, tokens=1), success("2", 8, tokens=99)) == (8, DecidedBy.TIE_EARLIEST_LAYER)


def test_then_to_the_fewest_tokens() -> None:
    assert decision(success("1", 7, tokens=9), success("2", 8, tokens=8)) == (8, DecidedBy.TIE_FEWEST_TOKENS)


def test_then_to_node_order() -> None:
    assert decision(success("10", 7), success("9", 8)) == (8, DecidedBy.TIE_NODE_ORDER)


def test_the_answer_is_given_as_the_best_member_gave_it() -> None:
    votes = count_votes([success("1", "  PARIS. ", tokens=9), success("2", "Paris", tokens=3)], ANY).votes
    assert [(vote.answer, vote.nodes) for vote in votes] == [("Paris", ("1", "2"))]


def test_tolerance_does_not_chain() -> None:
    close = AnswerFormat(tolerance=0.1)
    nodes = [success("1", 1.0), success("2", 1.09), success("3", 1.18)]
    assert [vote.nodes for vote in count_votes(nodes, close).votes] == [("1", "2"), ("3",)]


PATHS = [f"{a}{b}" for a in range(1, 5) for b in ("", ".1", ".2")]
SUCCESSES = st.dictionaries(st.sampled_from(PATHS), st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1)


@given(SUCCESSES, st.randoms(use_true_random=False))
def test_the_verdict_does_not_depend_on_the_order_of_arrival(
    answers: dict[str, tuple[int, int]], chance: random.Random
) -> None:
    nodes = [success(path, answer, tokens) for path, (answer, tokens) in answers.items()]
    shuffled = chance.sample(nodes, len(nodes))
    assert count_votes(nodes, ANY) == count_votes(shuffled, ANY)


@given(SUCCESSES)
def test_shares_add_up_and_the_winner_has_the_most(answers: dict[str, tuple[int, int]]) -> None:
    votes = count_votes([success(path, answer) for path, (answer, _) in answers.items()], ANY).votes
    assert sum(vote.count for vote in votes) == len(answers)
    assert abs(sum(vote.share for vote in votes) - 1) < 1e-9
    assert [vote.count for vote in votes] == sorted((vote.count for vote in votes), reverse=True)
