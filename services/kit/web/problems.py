"""Errors as HTTP answers: what the application raises, what pydantic refuses, and what the router says."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from kit.problems import MEDIA_TYPE, FieldError, Problem, details, field_error, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

_UNROUTED = {
    404: "There is no {0.url.path}; GET /openapi.json lists what there is.",
    405: "{0.url.path} does not take {0.method}; the header Allow says what it takes.",
}
"""What the router says in one word."""
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def render(request: Request, problem: Problem) -> JSONResponse:
    """The HTTP answer for ``problem``."""
    body = details(problem)
    body.instance = request.url.path
    body.request_id = getattr(request.state, "request_id", None)
    return JSONResponse(
        body.model_dump(mode="json"), status_code=problem.status, media_type=MEDIA_TYPE, headers=problem.headers
    )


def _malformed(item: Mapping[str, Any]) -> Problem:
    """The 400 for a body that is not JSON: no field of it can be named."""
    message = f"is not well-formed JSON: {item['ctx']['error']} at character {item['loc'][-1]}"
    error = FieldError(field="body", message=message, remedy="send well-formed JSON")
    return Problem(400, "bad-request", "Bad request", f"The body {message}.", errors=[error])


def _allowed(request: Request) -> str:
    """What the path takes (RFC 9110, section 15.5.6), by all of its routes; the router names those of one."""
    takes = {
        method: any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
        for method in _METHODS
    }
    return ", ".join(method for method in _METHODS if takes[method])


def install(app: FastAPI) -> None:
    """Make ``app`` answer every error as a problem."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101 - registered for this type only
        return render(request, error)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        found = error.errors()
        if found[0]["type"] == "json_invalid":
            return render(request, _malformed(found[0]))
        return render(request, invalid_request([field_error(item, error.body) for item in found]))

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101
        phrase = HTTPStatus(error.status_code).phrase
        slug = phrase.lower().replace(" ", "-")
        unrouted = error.detail == phrase and error.status_code in _UNROUTED
        detail = _UNROUTED[error.status_code].format(request) if unrouted else str(error.detail)
        headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
        return render(request, Problem(error.status_code, slug, phrase, detail, headers=headers))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
