"""`python -m planner calibrate` and its like: the default calibrations, what they are worth, and a user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from planner.calibration.body import UnfitRunsError, body_of
from planner.calibration.defaults import fit_defaults, fitted_path, measurements_path, read_measurements
from planner.calibration.effects import Hierarchy
from planner.calibration.profile import ProfileError, fragment, load_torch, measure
from planner.catalog import UnknownNameError, find_gpu
from planner.engine.inputs.cluster import Stack
from planner.refusal import refuse
from planner.validation.cli import counted
from planner.validation.crossval import Leave, cross_validate, fold_of
from planner.validation.report import Reading, memory_of, read_cases, report_of
from planner.validation.rows import RowsError, read_rows

_Rows = Annotated[
    Path | None, typer.Argument(metavar="[ROWS.csv]", help="Measured runs; by default those the project carries.")
]


def calibrate(
    rows: _Rows = None,
    write: Annotated[bool, typer.Option("--write", help="Replace the catalogue's factors by the fitted ones.")] = False,
) -> None:
    """Fit the default calibrations; print the factors, or write them into the catalogue."""
    text = fit_defaults(_usable(rows))
    if write:
        fitted_path().write_text(text, encoding="utf-8")
    else:
        typer.echo(text, nl=False)


def crossvalidate(
    rows: _Rows = None,
    leave: Annotated[Leave, typer.Option(help="What every fold leaves out.")] = "source",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Predict every run from a fit that never saw its source, or its model x GPU x source group."""
    reading = _usable(rows)
    if len({fold_of(one, leave) for one in reading.priced}) == 1:
        refuse(f"every run is of one {leave}, none is left to fit on; add runs of another, or change --leave")
    predictions = cross_validate(Hierarchy.of(reading.priced), leave)
    report = report_of(reading, predictions, memory_of([]))
    if as_json:
        typer.echo(json.dumps(report, indent=1))
        return
    typer.echo(f"leaving out each {leave}: {len(predictions)} runs, mean |error| {report['mape']:.1%}")
    for kind in ("family", "gpu", "source"):
        for name, errors in report["by"][kind].items():
            typer.echo(f"{kind:7} {name:45} {errors['rows']:4}  {errors['mape']:6.1%}  bias {errors['bias']:+6.1%}")


def calibration_body(
    rows: Annotated[Path, typer.Argument(metavar="ROWS.csv", help="Your measured runs, as `validate` reads them.")],
    name: Annotated[str, typer.Option(help="Your own name for the calibration.")] = "calibration",
    gpu: Annotated[str | None, typer.Option(help="Take the runs on this GPU only.")] = None,
    stack: Annotated[
        Stack | None, typer.Option(help="Software stack to start from; by default what rows name.")
    ] = None,
) -> None:
    """Print the body of a POST /calibrations that holds the runs of a table; what is left out goes to stderr."""
    try:
        reading = read_cases(read_rows(rows))
        wanted = None if gpu is None else find_gpu(gpu).name
        body = body_of(reading.priced, name, wanted, stack)
    except RowsError as error:
        refuse(str(error))
    except UnknownNameError as error:
        refuse(f"--gpu: {error}")
    except UnfitRunsError as error:
        _tell_skipped(reading)
        refuse(f"{rows}: {error}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        refuse(f"--{first['loc'][0]}: {first['msg']}")
    _tell_skipped(reading)
    typer.echo(json.dumps(body, indent=1))


def _tell_skipped(reading: Reading) -> None:
    for line in counted("left out", reading.skipped, "reason") + counted("noted on", reading.warnings, "warning"):
        typer.echo(line, err=True)


def _usable(rows: Path | None) -> Reading:
    """Return the runs of the file; refuses one that holds none a fit can use."""
    try:
        reading = read_measurements(rows or measurements_path())
    except RowsError as error:
        refuse(str(error))
    if not reading.priced:
        reasons = [f"{one['id']}: {one['reason']}" for one in reading.skipped[:3]]
        refuse("; ".join([f"{rows}: holds no tier A run that can be fitted on", *reasons]))
    return reading


def profile(
    gpu: Annotated[str, typer.Option(help="Catalogue name of the GPU, for its peaks.")] = "h100-80gb-sxm",
    device: Annotated[str, typer.Option(help="PyTorch device to measure.")] = "cuda",
    scale: Annotated[int, typer.Option(min=1, help="Divide every size, to try it on a small machine.")] = 1,
) -> None:
    """Measure this machine's GPU and print a calibration fragment; needs PyTorch."""
    try:
        found = find_gpu(gpu)
        samples = measure(load_torch(), device, scale=scale)
    except (ProfileError, UnknownNameError, RuntimeError) as error:
        refuse(str(error))
    peak = found.tflops.get("bf16", found.tflops["fp16"]) * 1e12
    typer.echo(fragment(samples, name=found.generation, peak_flops=peak, memory_rate=found.memory_gbps * 1e9), nl=False)
