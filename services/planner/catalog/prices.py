"""Prices of accelerators, dated and sourced."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from planner.catalog.loader import read_toml


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per GPU-hour of one accelerator at one cloud."""

    gpu: str
    cloud: str
    on_demand: float
    source: str
    dated: str
    region: str = "any"
    spot: float | None = None


@cache
def prices() -> tuple[Price, ...]:
    """Every listed price."""
    data = read_toml("prices.toml")
    return tuple(Price(dated=data["dated"], **entry) for entry in data["price"])


def price_per_hour(
    gpu: str, *, cloud: str | None = None, region: str | None = None, spot: bool = False
) -> Price | None:
    """Return the cheapest listing of canonical `gpu` that matches, or None.

    `spot` falls back to nothing, never to on-demand.
    """
    listings = [
        price
        for price in prices()
        if price.gpu == gpu
        and (cloud is None or price.cloud == cloud)
        and (region is None or price.region in {region, "any"})
        and (not spot or price.spot is not None)
    ]
    return min(listings, key=lambda price: (price.spot if spot else price.on_demand) or 0.0, default=None)
