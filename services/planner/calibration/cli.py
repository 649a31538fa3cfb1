"""`python -m planner calibrate` and `crossvalidate`: the default calibrations, and what they are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from planner.calibration.defaults import fit_defaults, fitted_path, measurements_path, read_measurements
from planner.calibration.effects import Hierarchy
from planner.calibration.profile import ProfileError, fragment, load_torch, measure
from planner.catalog import UnknownNameError, find_gpu
from planner.refusal import refuse
from planner.validation.crossval import Leave, cross_validate, fold_of
from planner.validation.report import Reading, memory_of, report_of
from planner.validation.rows import RowsError

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
