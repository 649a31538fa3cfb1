"""Tools of M3ToolEval's travel_itinerary_planning family, written anew from their described behaviour.

The suite appends its tables.
"""

from __future__ import annotations

import builtins
from typing import Any

_FLIGHTS: list[dict[str, Any]] = []
_HOTELS: list[dict[str, Any]] = []
_LOCATIONS: list[str] = []


def find_flights(from_location: str, to_location: str, date: str) -> list[dict[str, Any]]:
    """Finds flights based on source, destination and date.

    Arguments: from_location (str), to_location (str), date (str) in YYYY-MM-DD format.
    Returns a list of flights, each represented as a dictionary with keys "from_location", "to_location" (destination),
    "date", and "price".
    """
    start, end = _known(from_location), _known(to_location)
    return [
        dict(flight)
        for flight in _FLIGHTS
        if (_bare(flight["from_location"]), _bare(flight["to_location"]), flight["date"]) == (start, end, date)
    ]


def book_hotel(location: str, *preferences: str) -> list[dict[str, Any]]:
    """Books a hotel based on location and preferences.

    Arguments: location (str), *preferences (variable number of str arguments).
    Returns a list of hotels, each represented as a dictionary with keys "location", "preferences", "price_per_night",
    and "rating".
    """
    place = _known(location)
    hotels = [hotel for hotel in _HOTELS if _bare(hotel["location"]) == place]
    return [dict(hotel) for hotel in hotels if {_bare(wish) for wish in preferences} <= set(hotel["preferences"])]


def budget_calculator(flight_price: float, hotel_price_per_night: float, num_nights: int) -> float:
    """Calculates the total budget for a trip.

    Arguments: flight_price (float), hotel_price_per_night (float), num_nights (int).
    """
    return flight_price + hotel_price_per_night * num_nights


def sum(*args: float) -> float:  # noqa: A001 - the family's own name
    """Sums the given arguments. Accepts variable number of float arguments."""
    return builtins.sum(args)


def _bare(text: str) -> str:
    return text.replace('"', "")


def _known(location: str) -> str:
    if _bare(location) not in _LOCATIONS:
        raise ValueError(f"Location [{location}] is not supported.")
    return _bare(location)
