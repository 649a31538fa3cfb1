"""The planner without a server: `python -m planner search` and `python -m planner estimate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console

from planner.engine import InvalidRequest
from planner.schemas import EstimateRequest, Estimates, PlanRequest
from planner.tables import estimate_tables, plan_tables, term_table

if TYPE_CHECKING:
    from collections.abc import Callable

BAD_INPUT = 2

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Find and price ways to train a model.")
_Request = TypeVar("_Request", bound=BaseModel)
_Answer = TypeVar("_Answer")
_File = Annotated[str, typer.Argument(metavar="REQUEST.json", help="Body of the request; - for standard input.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def search(request: _File, as_json: _Json = False) -> None:
    """Find the best strategies for the body of a POST /plans."""
    plan = _answered(_read(request, PlanRequest).run)
    if as_json:
        typer.echo(plan.model_dump_json(indent=2))
    else:
        Console().print(*plan_tables(plan), sep="\n")


@app.command()
def estimate(
    request: _File,
    as_json: _Json = False,
    explain: Annotated[bool, typer.Option("--explain", help="Print the terms of every figure.")] = False,
) -> None:
    """Price the strategies in the body of a POST /estimates."""
    asked = _read(request, EstimateRequest)
    answer = _answered(asked.run)
    terms = asked.explain() if explain and asked.strategy is not None else []
    if as_json:
        document = answer.model_dump(mode="json") | (
            {"terms": [term.model_dump() for term in terms]} if explain else {}
        )
        typer.echo(json.dumps(document, indent=2))
        return
    priced = answer.estimates if isinstance(answer, Estimates) else [answer]
    for one in priced:
        Console().print(*estimate_tables(one, explain=explain), sep="\n")
    if terms:
        Console().print(term_table(terms))


def _read(source: str, kind: type[_Request]) -> _Request:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        return kind.model_validate(json.loads(text))
    except OSError as error:
        _refuse(f"{source}: {error.strerror}")
    except UnicodeDecodeError:
        _refuse(f"{source}: is not UTF-8 text")
    except json.JSONDecodeError as error:
        _refuse(f"{source}: line {error.lineno}, column {error.colno}: {error.msg}")
    except ValidationError as error:
        _refuse("; ".join(_described(item) for item in error.errors(include_url=False)))


def _described(item: object) -> str:
    details = dict(item) if isinstance(item, dict) else {}
    field = ".".join(str(part) for part in details.get("loc", ())) or "request"
    value = json.dumps(details.get("input"), default=str)
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
    remedy = (details.get("ctx") or {}).get("remedy")
    return f"{field}: {details.get('msg')} (got {shown})" + (f"; {remedy}" if remedy else "")


_SHOWN_CHARACTERS = 80


def _answered(run: Callable[[], _Answer]) -> _Answer:
    try:
        return run()
    except InvalidRequest as error:
        _refuse(str(error))


def _refuse(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(BAD_INPUT)
