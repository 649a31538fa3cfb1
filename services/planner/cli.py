"""The planner without a server: `python -m planner search` and `python -m planner estimate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console

from kit.problems import FieldError, field_error
from planner.engine import InvalidRequest
from planner.progress_bar import progress_bar
from planner.refusal import refuse
from planner.schemas import EstimateRequest, Estimates, PlanRequest
from planner.tables import estimate_tables, plan_tables, term_table

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Find and price ways to train a model.")
_Request = TypeVar("_Request", bound=BaseModel)
_Answer = TypeVar("_Answer")
_File = Annotated[str, typer.Argument(metavar="REQUEST.json", help="Body of the request; - for standard input.")]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def search(request: _File, as_json: _Json = False) -> None:
    """Find the best strategies for the body of a POST /plans."""
    asked = _read(request, PlanRequest)
    with progress_bar() as report:
        plan = _answered(lambda: asked.run(report))
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
        body = json.loads(sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        refuse(f"{source}: {error.strerror}")
    except UnicodeDecodeError:
        refuse(f"{source}: is not UTF-8 text")
    except json.JSONDecodeError as error:
        refuse(f"{source}: line {error.lineno}, column {error.colno}: {error.msg}")
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        wrong = [field_error({**item, "loc": ("body", *item["loc"])}, body) for item in error.errors(include_url=False)]
        refuse("; ".join(_described(one) for one in wrong))


def _described(wrong: FieldError) -> str:
    value = "" if wrong.value is None else f" (got {json.dumps(wrong.value)})"
    return f"{wrong.field}: {wrong.message}{value}" + (f"; {wrong.remedy}" if wrong.remedy else "")


def _answered(run: Callable[[], _Answer]) -> _Answer:
    try:
        return run()
    except InvalidRequest as error:
        refuse(str(error))
