"""A GPU type as the cost model sees it: datasheet, overrides and calibration resolved to SI units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.catalog import GIB, Calibration, Gpu, UnknownNameError, calibration_for, find_gpu
from planner.catalog.calibrations import ADJUSTABLE, adjusted
from planner.engine.errors import InvalidRequest
from planner.engine.inputs.cluster import LinkOverrides
from planner.engine.inputs.workload import OPERAND_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RATE_OF = {"fp16": "fp16", "bf16": "bf16", "fp8": "fp8", "mxfp8": "fp8", "nvfp4": "fp4"}
_UNFUSED_ATTENTION = frozenset({"volta", "turing"})


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU and its links. Rates per second, one direction; bytes; seconds."""

    gpu: Gpu
    calibration: Calibration
    memory_bytes: float
    memory_rate: float
    gpus_per_node: int
    domain: int
    scale_up_rate: float
    scale_out_rate: float
    scale_up_latency: float
    scale_out_latency: float
    host_rate: float

    @property
    def name(self) -> str:
        """Canonical name."""
        return self.gpu.name

    @property
    def has_flash_attention(self) -> bool:
        """Whether fused (flash) attention kernels exist for this generation."""
        return self.gpu.generation not in _UNFUSED_ATTENTION

    def peak_flops(self, precision: str) -> float:
        """Datasheet FLOP/s of matrix products with `precision` operands; InvalidRequest when the GPU has none."""
        tflops = self.gpu.tflops
        key = _RATE_OF[precision]
        if key not in tflops:
            remedy = f"use one of {', '.join(p for p in OPERAND_BITS if _RATE_OF[p] in tflops)}"
            raise InvalidRequest("workload.precision", precision, f"is not supported by {self.name}", remedy)
        return tflops[key] * 1e12

    def gemm_efficiency(self, precision: str) -> float:
        """Asymptotic fraction of `peak_flops` that large matrix products reach."""
        table = self.calibration.gemm
        bits = str(OPERAND_BITS[precision])
        return table.get(bits, min(table.values()))


def resolve_device(name: str, links: LinkOverrides, *, field: str) -> Device:
    """Return the device called `name` with `links` applied; InvalidRequest at `field` when unknown."""
    try:
        gpu = find_gpu(name)
    except UnknownNameError as error:
        closest = ", ".join(error.closest) or "a name from GET /catalog/gpus"
        raise InvalidRequest(field, name, "is not a known GPU", f"use {closest}") from error
    calibration = adjusted(calibration_for(gpu.generation, gpu.name, links.stack), _known(links.factors, field))
    node = links.gpus_per_node or gpu.node
    domain = links.domain or (node if links.gpus_per_node else gpu.domain)
    ports = min(links.nics_per_node or node, node)
    scale_out = (links.scale_out_gbps or gpu.scale_out_gbps) * ports / node / links.oversubscription
    latency_up, latency_out = links.scale_up_latency_us, links.scale_out_latency_us
    return Device(
        gpu=gpu,
        calibration=calibration,
        memory_bytes=(links.memory_gib or gpu.memory_gib) * GIB,
        memory_rate=gpu.memory_gbps * 1e9,
        gpus_per_node=node,
        domain=max(domain, 1),
        scale_up_rate=(links.scale_up_gbps or gpu.scale_up_gbps) * 1e9,
        scale_out_rate=scale_out * 1e9,
        scale_up_latency=(latency_up or calibration.scale_up_latency_us) * 1e-6,
        scale_out_latency=(latency_out or calibration.scale_out_latency_us) * 1e-6,
        host_rate=gpu.host_gbps * 1e9,
    )


def _known(factors: Mapping[str, float], field: str) -> Mapping[str, float]:
    for name, value in factors.items():
        if name not in ADJUSTABLE:
            raise InvalidRequest(f"{field}.factors.{name}", value, "is no parameter", f"use {', '.join(ADJUSTABLE)}")
    return factors


def links_of(overrides: Mapping[str, LinkOverrides], canonical: str, given: str) -> LinkOverrides:
    """Return the overrides of a GPU listed under its canonical or its given name."""
    return overrides.get(canonical) or overrides.get(given) or LinkOverrides()


def resolve_devices(names: Iterable[str], links: Mapping[str, LinkOverrides], field: str) -> dict[str, Device]:
    """Return the device of each name given.

    InvalidRequest when two names mean one type, or links are given for a type that is not there.
    """
    devices: dict[str, Device] = {}
    for name in names:
        plain = resolve_device(name, LinkOverrides(), field=f"{field}.{name}")
        if plain.name in {device.name for device in devices.values()}:
            raise InvalidRequest(f"{field}.{name}", name, f"names {plain.name} a second time", "list each type once")
        devices[name] = resolve_device(name, links_of(links, plain.name, name), field=f"{field}.{name}")
    known = {device.name for device in devices.values()}
    for name in links:
        if resolve_device(name, LinkOverrides(), field=f"cluster.links.{name}").name not in known:
            raise InvalidRequest(
                f"cluster.links.{name}", name, "is no GPU type of this cluster", f"use {', '.join(known)}"
            )
    return devices
