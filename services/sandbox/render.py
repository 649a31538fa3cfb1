"""Outcomes as the schemas want them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sandbox.schemas import (
    ExecutionAnswer,
    Isolation,
    OutputFile,
    SessionAnswer,
    SessionLimits,
    SessionState,
    ToolCallMade,
    Truncated,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.report import CollectedFile
    from sandbox.runner import Outcome
    from sandbox.sessions import Session


def execution_answer(
    outcome: Outcome, isolation: Mapping[str, object], session: Session | None = None
) -> ExecutionAnswer:
    """The answer of ``POST /executions``."""
    return ExecutionAnswer(
        status=outcome.verdict.status,
        reason=outcome.verdict.reason,
        exit_code=outcome.verdict.exit_code,
        signal=outcome.verdict.signal,
        stdout=outcome.stdout.decode(errors="replace"),
        stderr=outcome.stderr.decode(errors="replace"),
        truncated=Truncated(stdout=outcome.stdout_truncated, stderr=outcome.stderr_truncated),
        result=outcome.result,
        result_given=outcome.result_given,
        files=[_file(file) for file in outcome.files],
        usage=Usage(
            wall_ms=round(outcome.wall_ms, 1),
            cpu_ms=round(outcome.cpu_ms, 1),
            max_rss_bytes=outcome.max_rss_bytes,
            oom_killed=outcome.oom_killed,
        ),
        isolation=Isolation.model_validate(isolation),
        tool_calls=[
            ToolCallMade(name=call.name, ok=call.error is None, milliseconds=call.milliseconds, error=call.error)
            for call in outcome.tool_calls
        ],
        session=None if session is None else _state(session),
    )


def session_answer(session: Session, isolation: Mapping[str, object]) -> SessionAnswer:
    """A session as ``POST /sessions`` and ``GET`` answer it."""
    return SessionAnswer(
        id=session.id,
        state="busy" if session.busy else "idle",
        created_at=session.created_at,
        expires_at=session.expires_at(),
        idle_seconds=session.lifetime.idle_seconds,
        total_seconds=session.lifetime.total_seconds,
        executions=session.executions,
        limits=SessionLimits.model_validate(session.limits, from_attributes=True),
        isolation=Isolation.model_validate(isolation),
    )


def _state(session: Session) -> SessionState:
    return SessionState(id=session.id, state="ended" if session.ended else "idle", reason=session.ended)


def _file(file: CollectedFile) -> OutputFile:
    """As text where it is text, so that what comes out can be sent in again as it is."""
    if file.content is None or file.omitted is not None:
        return OutputFile(path=file.path, size_bytes=file.size_bytes, omitted=file.omitted)
    try:
        text = file.content.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(file.content).decode()
        return OutputFile(path=file.path, size_bytes=file.size_bytes, encoding="base64", content=encoded)
    return OutputFile(path=file.path, size_bytes=file.size_bytes, encoding="utf-8", content=text)
