"""The planner's data: accelerators, prices, model presets and calibrations, each with its source."""

from planner.catalog.calibrations import Calibration, calibration_for
from planner.catalog.gpus import GIB, Gpu, find_gpu, gpus
from planner.catalog.loader import UnknownNameError, digest
from planner.catalog.models import find_model, models
from planner.catalog.prices import Price, price_per_hour, prices

__all__ = [
    "GIB",
    "Calibration",
    "Gpu",
    "Price",
    "UnknownNameError",
    "calibration_for",
    "digest",
    "find_gpu",
    "find_model",
    "gpus",
    "models",
    "price_per_hour",
    "prices",
]
