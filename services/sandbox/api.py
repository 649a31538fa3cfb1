"""``POST /executions``: parse, authorise, run, render."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from kit.web.app import problem_response
from sandbox.render import execution_answer
from sandbox.schemas import ExecutionAnswer, ExecutionRequest
from sandbox.service import Caller, caller_of, unless_disconnected

router = APIRouter(tags=["executions"])


@router.post(
    "/executions",
    summary="Run one Python program in a jail of its own",
    response_model=ExecutionAnswer,
    responses={
        404: problem_response("There is no such session, or it is another owner's"),
        409: problem_response("The session runs another program"),
    },
)
async def create_execution(
    request: Request,
    wanted: ExecutionRequest,
    caller: Annotated[Caller, Depends(caller_of)],
) -> Response:
    """Answers 200 however the program ends: `status` says how. `final_answer(value)` is defined in the program.

    With `session`, the program runs in that session's interpreter and finds what was left there before.
    """
    service, owner = caller.service, caller.owner
    session = service.sessions.get(owner, wanted.session) if wanted.session is not None else None
    limits = service.limits(wanted, session)
    program = service.program(wanted, limits)
    running = service.run_in(session, program, limits) if session else service.run(owner, program, limits)
    outcome = await unless_disconnected(request, running)
    answer = execution_answer(outcome, service.confinement.describe(), session)
    # It was validated when it was made: once is enough.
    return Response(answer.model_dump_json(), media_type="application/json")
