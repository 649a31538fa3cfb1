"""Tools of M3ToolEval's trade_calculator family, written anew from their described behaviour."""

from __future__ import annotations


def convert_currency(base_price: float, conversion_rate: float) -> float:
    """Converts the commodity price to local currency. Arguments: base_price (float), conversion_rate (float)."""
    return base_price * conversion_rate


def calculate_tariff(price: float, tariff_rate: float) -> float:
    """Calculates the trade tariff based on the converted price.

    Arguments: price (float), tariff_rate (float, in %)
    """
    return price * tariff_rate / 100


def estimate_final_value(price: float, tariff: float) -> float:
    """Estimates the final trade value including the tariff. Arguments: price (float), tariff (float)."""
    return price + tariff


def find_minimum(*args: float) -> float:
    """Finds the minimum value among the given arguments. Accepts variable number of float arguments."""
    return min(args)


def find_maximum(*args: float) -> float:
    """Finds the maximum value among the given arguments. Accepts variable number of float arguments."""
    return max(args)
