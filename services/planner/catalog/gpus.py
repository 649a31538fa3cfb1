"""Accelerators by name and alias."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from planner.catalog.loader import UnknownNameError, read_toml

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Gpu:
    """Datasheet facts of one accelerator. Rates are one-directional; `*_gbps` are 1e9 bytes per second."""

    name: str
    aliases: tuple[str, ...]
    generation: str
    memory_gib: float
    memory_gbps: float
    multiprocessors: int
    tflops: dict[str, float]
    scale_up_gbps: float
    scale_out_gbps: float
    domain: int
    node: int
    host_gbps: float
    scale_up: Literal["nvlink", "pcie"]
    source: str

    @property
    def memory_bytes(self) -> float:
        """Device memory as the driver reports it, bytes."""
        return self.memory_gib * GIB


@cache
def gpus() -> dict[str, Gpu]:
    """Every accelerator of the catalogue by canonical name."""
    entries = (
        Gpu(
            **{
                "scale_up": "nvlink",
                "node": min(entry["domain"], 8),
                **entry,
                "aliases": tuple(entry["aliases"]),
            },
        )
        for entry in read_toml("gpus.toml")["gpu"]
    )
    return {gpu.name: gpu for gpu in entries}


@cache
def _aliases() -> dict[str, str]:
    return {alias: gpu.name for gpu in gpus().values() for alias in (gpu.name, *gpu.aliases)}


def find_gpu(name: str) -> Gpu:
    """Return the accelerator called `name` (any case, `_` or blank for `-`, optional vendor).

    UnknownNameError otherwise.
    """
    key = name.strip().lower().replace("_", "-").replace(" ", "-").removeprefix("nvidia-").removeprefix("amd-")
    if key not in _aliases():
        raise UnknownNameError("GPU", name, _aliases())
    return gpus()[_aliases()[key]]
