"""From validated inputs to problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.engine.errors import InvalidRequest
from planner.engine.problem import Problem
from planner.engine.rules import Rule, RuleError, parse_rule

if TYPE_CHECKING:
    from planner.engine.hardware import Device
    from planner.engine.inputs import SearchOptions, Workload
    from planner.engine.model import Architecture


def user_rules(options: SearchOptions) -> list[Rule]:
    """Return the request's own rules; InvalidRequest names the one that cannot be read."""
    rules = []
    for index, expression in enumerate(options.rules):
        try:
            parse_rule(expression)
        except RuleError as error:
            remedy = "see the documented rule language"
            raise InvalidRequest(f"search.rules[{index}]", expression, str(error), remedy) from error
        rules.append(Rule(f"rules[{index}]", expression, f"your rule: {expression}"))
    return rules


def problem_of(
    architecture: Architecture,
    workload: Workload,
    device: Device,
    gpus: int,
    precision: str,
    attention: str,
    *,
    field: str | None = None,
) -> Problem:
    """Return the problem of training `architecture` on `gpus` of `device`, one of several in `field` if given.

    InvalidRequest when the device cannot multiply in `precision`.
    """
    try:
        device.peak_flops(precision)
    except InvalidRequest as error:
        if field is not None:
            error.remedy += f", or leave {device.name} out of {field}"
        raise
    return Problem(
        architecture=architecture,
        device=device,
        gpus=gpus,
        batch=workload.global_batch_size,
        sequence=workload.sequence_length,
        precision=precision,
        gradient_bytes=4 if workload.gradient_precision == "fp32" else 2,
        flash_attention=attention == "flash",
    )


def problem_variants(
    architecture: Architecture,
    workload: Workload,
    device: Device,
    gpus: int,
    options: SearchOptions,
) -> list[Problem]:
    """Return one problem for each combination of the dimensions that change the kernels: precision and attention."""
    precisions = options.space.precision or [workload.precision]
    attentions = options.space.attention or ["flash" if device.has_flash_attention else "unfused"]
    return [
        problem_of(architecture, workload, device, gpus, precision, attention)
        for precision in dict.fromkeys(precisions)
        for attention in dict.fromkeys(attentions)
    ]
