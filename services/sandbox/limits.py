"""What one run may use: the request's wishes, the settings' defaults and maxima, and the rlimits that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from kit.problems import FieldError, invalid_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.settings import LimitSettings, SandboxSettings

# Address space is not memory: an interpreter with threads reserves far more than it touches. Where memory is counted
# otherwise, this only stops reservations that could never be used.
ADDRESS_SPACE_HEADROOM_BYTES = 4 << 30
LEAST_MEMORY_BYTES = 16 << 20
OPEN_FILES = 256
STACK_BYTES = 8 << 20

RLimit = tuple[str, int, int]
"""Name in :mod:`resource`, soft limit, hard limit."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session may be idle, and may last."""

    idle_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run. ``output_bytes`` holds for each of standard output and error."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int
    processes: int
    output_bytes: int
    disk_bytes: int


def resolve(requested: Mapping[str, float | None], settings: LimitSettings) -> Limits:
    """Fill what was not asked for with the defaults; refuse, naming each field, what is over its maximum."""
    chosen: dict[str, float] = {}
    errors = []
    for field in fields(Limits):
        name = field.name
        value, most = requested.get(name), getattr(settings, f"sandbox_max_{name}")
        chosen[name] = getattr(settings, f"sandbox_default_{name}") if value is None else value
        if chosen[name] > most:
            remedy = f"ask for at most {most}, or raise ASTROLABE_SANDBOX_MAX_{name.upper()}"
            message = f"is over this service's maximum of {most}"
            errors.append(FieldError(field=f"limits.{name}", message=message, value=value, remedy=remedy))
    if errors:
        raise invalid_request(errors)
    return Limits(**chosen)  # type: ignore[arg-type]  # the settings and the schema give each field its own type


def resolve_in_session(requested: Mapping[str, float | None], fixed: Limits, settings: LimitSettings) -> Limits:
    """The limits of one execution in a session: what is fixed for the session's life cannot be asked for anew."""
    errors = [
        FieldError(
            field=f"limits.{name}",
            message="is fixed for a session's whole life",
            value=requested[name],
            remedy="give it in POST /sessions",
        )
        for name in ("memory_bytes", "processes", "disk_bytes")
        if requested.get(name) is not None
    ]
    if errors:
        raise invalid_request(errors)
    own = {field.name: getattr(fixed, field.name) for field in fields(Limits)}
    return resolve(own | {name: value for name, value in requested.items() if value is not None}, settings)


def clamp(requested: Mapping[str, float], settings: LimitSettings) -> Limits:
    """As :func:`resolve`, but what is over its maximum is lowered to it, and what is under the least is raised."""
    within = {name: min(value, getattr(settings, f"sandbox_max_{name}")) for name, value in requested.items()}
    if "memory_bytes" in within:
        within["memory_bytes"] = max(within["memory_bytes"], LEAST_MEMORY_BYTES)
    return resolve(within, settings)


def resolve_lifetime(idle: float | None, total: float | None, settings: SandboxSettings) -> Lifetime:
    """A session's lifetime, filled and checked as limits are."""
    chosen, errors = {}, []
    for name, value in (("idle_seconds", idle), ("total_seconds", total)):
        most = getattr(settings, f"sandbox_max_session_{name}")
        chosen[name] = getattr(settings, f"sandbox_default_session_{name}") if value is None else value
        if chosen[name] > most:
            remedy = f"ask for at most {most}, or raise ASTROLABE_SANDBOX_MAX_SESSION_{name.upper()}"
            errors.append(FieldError(field=name, message=f"is over the maximum of {most}", value=value, remedy=remedy))
    if errors:
        raise invalid_request(errors)
    return Lifetime(**chosen)


def rlimits(limits: Limits, *, memory_is_counted: bool) -> list[RLimit]:
    """The program's resource limits, set inside its user namespace so that no other run shares them.

    ``memory_is_counted``: a cgroup holds the run to its memory. Otherwise ``RLIMIT_DATA`` (private writable memory, a
    process) does: unlike ``RLIMIT_AS`` it does not count what is only reserved.
    """
    # The service ends a run that used its CPU time, counted exactly and over all processes. This is for when it cannot;
    # the kernel counts it in ticks, so a second more keeps it from striking first.
    cpu_seconds = math.ceil(limits.cpu_seconds) + 1
    address_space = limits.memory_bytes + ADDRESS_SPACE_HEADROOM_BYTES
    data = address_space if memory_is_counted else limits.memory_bytes
    return [
        ("RLIMIT_CPU", cpu_seconds, cpu_seconds + 1),
        ("RLIMIT_AS", address_space, address_space),
        ("RLIMIT_DATA", data, data),
        ("RLIMIT_STACK", STACK_BYTES, STACK_BYTES),
        ("RLIMIT_NPROC", limits.processes + 1, limits.processes + 1),  # and PID 1
        ("RLIMIT_FSIZE", limits.disk_bytes, limits.disk_bytes),
        ("RLIMIT_NOFILE", OPEN_FILES, OPEN_FILES),
        ("RLIMIT_MEMLOCK", 0, 0),
        ("RLIMIT_MSGQUEUE", 0, 0),
        ("RLIMIT_CORE", 0, 0),
    ]
