"""Collectives: alpha-beta on a two-level topology of scale-up domains joined by a network.

Ranks are laid out as Megatron-Core does: tensor fastest, then context, expert and data, pipeline slowest. A group of
`size` ranks `stride` apart has size / (domain / stride) domains. Inside one domain the scale-up link is the bound;
across domains a ring enters and leaves each domain once, through the network ports of all its members there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from planner.engine.hardware import Device
    from planner.engine.types import Floats, Ints


@dataclass(frozen=True, slots=True)
class Group:
    """Communication groups, one per row: ranks, ranks within a domain, domains, all shape (rows,)."""

    size: Floats
    local: Floats
    domains: Floats

    @classmethod
    def of(cls, device: Device, size: Ints | Floats, stride: Ints | Floats) -> Group:
        """Return groups of `size` ranks `stride` apart."""
        ranks = np.maximum(np.asarray(size, np.float64), 1.0)
        local = np.clip(device.domain // np.maximum(stride, 1), 1, ranks)
        return cls(ranks, local, np.ceil(ranks / local))


def _bus_rate(device: Device, group: Group) -> Floats:
    """Bytes per second at which a ring moves data past each rank."""
    calibration = device.calibration
    inside = device.scale_up_rate * calibration.scale_up
    outside = device.scale_out_rate * calibration.scale_out * group.local
    rate: Floats = np.where(group.domains > 1, np.minimum(inside, outside), inside)
    return rate


def _latency(device: Device, group: Group) -> Floats:
    """Steps inside a domain go around the ring; across domains trees need a logarithm of them."""
    steps_inside = device.scale_up_latency * np.minimum(group.local - 1, 2 * np.log2(group.local) + 1)
    latency: Floats = steps_inside + device.scale_out_latency * np.ceil(np.log2(group.domains)) * 2
    return latency


def gather_seconds(device: Device, group: Group, size_bytes: Floats) -> Floats:
    """Return the time of an all-gather or reduce-scatter whose full tensor has `size_bytes`."""
    share = (group.size - 1) / group.size
    return np.where(group.size > 1, size_bytes * share / _bus_rate(device, group) + _latency(device, group), 0.0)


def reduce_seconds(device: Device, group: Group, size_bytes: Floats) -> Floats:
    """Return the time of an all-reduce: a reduce-scatter and an all-gather."""
    return 2.0 * gather_seconds(device, group, size_bytes)


def exchange_seconds(device: Device, group: Group, size_bytes: Floats) -> Floats:
    """Return the time of an all-to-all in which each rank sends `size_bytes`, its own share included."""
    calibration = device.calibration
    inside = size_bytes * (group.local - 1) / group.size / (device.scale_up_rate * calibration.scale_up)
    beyond = size_bytes * (group.size - group.local) / group.size / (device.scale_out_rate * calibration.scale_out)
    return np.where(group.size > 1, np.maximum(inside, beyond) + _latency(device, group), 0.0)


def dispatch_seconds(device: Device, group: Group, size_bytes: Floats, copies: int) -> Floats:
    """Return the time to send tokens to their experts: `copies` of each, `size_bytes` all together per rank.

    A token enters a domain once however many of its experts are there, spreads inside, and reaches a rank once (DeepEP,
    HybridEP): of n domains or ranks, copies that fall evenly reach each with probability 1 - (1 - 1/n)^copies.
    """
    calibration = device.calibration
    domains, ranks = (count * (1 - (1 - 1 / count) ** copies) for count in (group.domains, group.size))
    inside = ranks * (group.local - 1) / group.local / (device.scale_up_rate * calibration.scale_up)
    beyond = domains * (group.domains - 1) / group.domains / (device.scale_out_rate * calibration.scale_out)
    per_copy = size_bytes / copies
    return np.where(group.size > 1, per_copy * np.maximum(inside, beyond) + _latency(device, group), 0.0)


def transfer_seconds(device: Device, distance: Ints | Floats, size_bytes: Floats) -> Floats:
    """Return the time to send `size_bytes` to the rank `distance` away."""
    calibration = device.calibration
    within = np.asarray(distance) < device.domain
    rate = np.where(within, device.scale_up_rate * calibration.scale_up, device.scale_out_rate * calibration.scale_out)
    return size_bytes / rate + np.where(within, device.scale_up_latency, device.scale_out_latency)
