"""Values of `search.space` that a mode has no plans for: refused, never silently ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.engine.errors import InvalidRequest

if TYPE_CHECKING:
    from planner.engine.inputs import Space


def require_one_kernel(space: Space) -> None:
    """Raise InvalidRequest when precision or attention are to be chosen between: only homogeneous mode does."""
    for name, instead in (("precision", "workload.precision"), ("attention", "homogeneous mode")):
        if (values := getattr(space, name)) is not None:
            raise InvalidRequest(
                f"search.space.{name}", values, "is chosen in homogeneous mode only", f"leave it out and use {instead}"
            )


def require_mixable(space: Space) -> None:
    """Raise InvalidRequest when the space leaves no pipeline over unlike GPUs: those run plain 1F1B, one chunk each."""
    needed: dict[str, object] = {
        "schedule": "1f1b",
        "virtual_pipeline": 1,
        "activation_offload": False,
        "p2p_overlap": False,
    }
    for name, value in needed.items():
        values = getattr(space, name)
        if values is not None and value not in values:
            raise InvalidRequest(
                f"search.space.{name}",
                values,
                "excludes every plan over unlike GPUs, which run 1F1B without interleaving or activation offload",
                f"list {value!r} too, or search each GPU type in homogeneous mode".replace("False", "false"),
            )
