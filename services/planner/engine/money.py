"""What training costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.catalog import price_per_hour
from planner.engine.outputs import Money

if TYPE_CHECKING:
    from collections.abc import Mapping


def catalog_price(gpu: str, *, cloud: str | None = None, region: str | None = None, spot: bool = False) -> float | None:
    """Return US dollars per GPU-hour of `gpu`, the cheapest listing that matches; None when there is none."""
    listing = price_per_hour(gpu, cloud=cloud, region=region, spot=spot)
    if listing is None:
        return None
    return listing.spot if spot else listing.on_demand


def money_of(counts: Mapping[str, int], hours: float | None, prices: Mapping[str, float] | None = None) -> Money | None:
    """Return the cost of `hours` on `counts` GPUs of each type; None without hours or a price for every type."""
    known = {gpu: (prices or {}).get(gpu, catalog_price(gpu)) for gpu in counts}
    rates = {gpu: rate for gpu, rate in known.items() if rate is not None}
    if hours is None or len(rates) < len(counts):
        return None
    per_hour = sum(count * rates[gpu] for gpu, count in counts.items())
    return Money(usd=per_hour * hours, usd_per_hour=per_hour, hours=hours, gpus=sum(counts.values()), prices=rates)
