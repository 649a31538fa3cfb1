"""The planner's catalogue: what may be named in a request, with the facts it counts with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import JsonValue  # noqa: TC002 - pydantic evaluates annotations

from astrolabe.models import Answered, Many

EntryT_co = TypeVar("EntryT_co", bound=Answered, covariant=True)


class Gpu(Answered):
    """Datasheet facts of an accelerator. Rates are in 1e9 bytes per second, in one direction."""

    name: str
    aliases: Many[str] = ()
    generation: str
    memory_gib: float
    memory_gbps: float
    tflops: dict[str, float]
    scale_up: str
    scale_up_gbps: float
    scale_out_gbps: float
    domain: int
    source: str


class ModelPreset(Answered):
    """A model that requests can name, and how many parameters its makers say it has."""

    name: str
    parameters: float
    dimensions: dict[str, JsonValue]
    source: str


class Price(Answered):
    """US dollars for an hour of one GPU; ``spot`` is None where it is not offered."""

    gpu: str
    cloud: str
    region: str = "any"
    on_demand: float
    spot: float | None = None
    dated: str
    source: str


@dataclass(frozen=True, slots=True)
class CatalogPart(Generic[EntryT_co]):
    """A part of the catalogue: its name in the path, and its entries."""

    name: str
    entry: type[EntryT_co]


GPUS: CatalogPart[Gpu] = CatalogPart("gpus", Gpu)
MODELS: CatalogPart[ModelPreset] = CatalogPart("models", ModelPreset)
PRICES: CatalogPart[Price] = CatalogPart("prices", Price)
