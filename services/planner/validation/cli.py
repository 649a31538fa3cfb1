"""`python -m planner validate`: the cost model against a table of measurements."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from planner.calibration.defaults import measurements_path
from planner.refusal import refuse
from planner.validation.holdout import calibrated
from planner.validation.metrics import Prediction
from planner.validation.page import write_page
from planner.validation.report import memory_of, read_cases, readings_of, report_of
from planner.validation.rows import RowsError, read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_Rows = Annotated[Path, typer.Argument(metavar="ROWS.csv", help="Table with the columns of measured_throughput.csv.")]
_Calibrate = Annotated[
    int, typer.Option("--calibrate", min=0, max=50, help="Fit on K rows of each source, GPU and precision first.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def validate(rows: _Rows, calibrate: _Calibrate = 0, as_json: _Json = False) -> None:
    """Predict the iteration time of every row the engine can express, and report the errors."""
    try:
        reading = read_cases(read_rows(rows))
    except RowsError as error:
        refuse(str(error))
    if calibrate:
        predictions, used = calibrated(reading.priced, calibrate)
        reading.skipped += used
    else:
        predictions = [Prediction(one.case, one.seconds()) for one in reading.priced]
    report = report_of(reading, predictions, memory_of(reading.priced))
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    for part in tables_of(report):
        Console().print(part)


def tables_of(report: dict[str, Any]) -> list[Table | str]:
    """Return the report for people."""
    memory, ranking = report["memory"], report["ranking"]
    lines: list[Table | str] = [f"{report['rows']} rows, {report['used']} predicted, {len(report['skipped'])} skipped"]
    for name, groups in report["by"].items():
        table = Table(name, "rows", "mean |error|", "median", "within 10 %", "bias")
        for group, errors in groups.items():
            figures = (errors["mape"], errors["median_ape"], errors["within_10"], errors["bias"])
            table.add_row(group, str(errors["rows"]), *(f"{figure:.1%}" for figure in figures))
        lines.append(table)
    if report["mape"] is not None:
        lines.append(f"all: mean |error| {report['mape']:.1%}, median {report['median_ape']:.1%}")
    if memory["mape"] is not None:
        lines.append(f"peak memory: mean |error| {memory['mape']:.1%} over {memory['rows']} rows")
    lines.append(f"runs called infeasible by more than a tenth: {len(memory['wrongly_infeasible'])}")
    if ranking["groups"]:
        lines += [_ranking_line(name, means) for name, means in readings_of(ranking).items()]
    lines += counted("skipped", report["skipped"], "reason")
    lines += counted("warned of", report["warnings"], "warning")
    return lines


def counted(verb: str, notes: Sequence[Mapping[str, str]], key: str) -> list[str]:
    """Return a line for each text that `notes` have under `key`, the most frequent first."""
    ids: dict[str, list[str]] = defaultdict(list)
    for note in notes:
        ids[note[key]].append(note["id"])
    most = sorted(ids.items(), key=lambda item: -len(item[1]))
    return [f"{verb} {len(names)}, {names[0]}{', ...' if names[1:] else ''}: {text}" for text, names in most]


def _ranking_line(which: str, means: dict[str, Any]) -> str:
    if not means["groups"]:
        return f"ranking, {which}: no group"
    regret, rank = means["mean_regret"], means["mean_spearman"]
    return f"ranking, {which}: {means['groups']} groups, mean regret {regret:.1%}, mean Spearman {rank:.2f}"


def page(
    folder: Annotated[Path, typer.Option(help="Where cost-model.md and figures/ go.")] = Path("docs"),
) -> None:
    """Write docs/cost-model.md and its figures from the measurements the project carries."""
    try:
        write_page(read_rows(measurements_path()), folder)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}")
