"""The planner's catalogue as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from astrolabe.render.console import line, table
from astrolabe.render.units import money

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from astrolabe.catalog import Gpu, ModelPreset, Price

_BILLION = 1e9


def print_gpus(console: Console, gpus: Iterable[Gpu]) -> None:
    """Memory in GiB, arithmetic in dense bf16 TFLOP/s, rates in GB/s."""
    rows = (
        (
            gpu.name,
            gpu.generation,
            f"{gpu.memory_gib:g} GiB",
            f"{gpu.memory_gbps:,.0f}",
            f"{gpu.tflops['bf16']:,.0f}" if "bf16" in gpu.tflops else "-",
            f"{gpu.scale_up_gbps:g} ({gpu.scale_up} x{gpu.domain})",
            f"{gpu.scale_out_gbps:g}",
            ", ".join(gpu.aliases),
        )
        for gpu in gpus
    )
    header = (
        "Name",
        "Generation",
        "Memory",
        "Memory GB/s",
        "bf16 TFLOP/s",
        "Scale-up GB/s",
        "Scale-out GB/s",
        "Aliases",
    )
    _print(console, header, rows)


def print_models(console: Console, models: Iterable[ModelPreset]) -> None:
    """Parameters in billions."""
    shown = ("layers", "hidden_size", "heads")
    rows = (
        (model.name, f"{model.parameters / _BILLION:.2f} B", *(str(model.dimensions.get(name, "-")) for name in shown))
        for model in models
    )
    _print(console, ("Name", "Parameters", "Layers", "Hidden size", "Heads"), rows)


def print_prices(console: Console, prices: Iterable[Price]) -> None:
    """US dollars for an hour of one GPU."""
    rows = (
        (
            price.gpu,
            price.cloud,
            price.region,
            money(price.on_demand),
            "-" if price.spot is None else money(price.spot),
            price.dated,
        )
        for price in prices
    )
    _print(console, ("GPU", "Cloud", "Region", "On demand", "Spot", "Dated"), rows)


def _print(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    grid = table(console, 110)
    for name in header:
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(line(cell)) for cell in row))
    console.print(grid)
