"""Success and failure of one program. The outcome of the execution is the only supervision: no ground truth is used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from codetree.engine.answers import WrongAnswerTypeError, coerce
from codetree.engine.tree import Node, NodeStatus
from codetree.engine.values import Execution, ExecutionStatus

if TYPE_CHECKING:
    from codetree.engine.answers import AnswerFormat

_MAX_ERROR_CHARACTERS = 500

_REASONS = {
    ExecutionStatus.TIMEOUT: "it ran longer than it may",
    ExecutionStatus.MEMORY_EXCEEDED: "it used more memory than it may",
    ExecutionStatus.OUTPUT_EXCEEDED: "it wrote more output than it may",
    ExecutionStatus.KILLED: "it was killed",
}


def judge(node: Node, execution: Execution, answer_format: AnswerFormat, *, is_step: bool = False) -> Node:
    """``node`` with its outcome. Success is a program that ran to its end and gave an answer of the asked type.

    ``is_step``: a program that ran without an answer is a step on the way, not a failure.
    """
    judged = replace(node, execution=execution)
    if is_step and execution.status is ExecutionStatus.OK and not execution.result_given:
        return replace(judged, status=NodeStatus.ACTED)
    problem = _problem(execution)
    if problem:
        return replace(judged, status=NodeStatus.FAILED, error=problem)
    try:
        answer = coerce(execution.result, answer_format)
    except WrongAnswerTypeError as error:
        return replace(judged, status=NodeStatus.FAILED, error=str(error))
    return replace(judged, status=NodeStatus.SUCCEEDED, answer=answer)


def _problem(execution: Execution) -> str | None:
    if execution.status is ExecutionStatus.OK:
        return None if execution.result_given else "it ended without calling final_answer(value)"
    if execution.status is ExecutionStatus.ERROR:
        return _last_line(execution.stderr) or execution.reason or f"it exited with code {execution.exit_code}"
    return execution.reason or _REASONS[execution.status]


def _last_line(stderr: str) -> str | None:
    """Where Python names the exception."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:_MAX_ERROR_CHARACTERS] if lines else None
