"""Numbers with their units."""

from __future__ import annotations

_GIB = 2**30
_MINUTE_SECONDS = 60
_UNKNOWN = "-"


def seconds(value: float | None) -> str:
    """A duration, with the precision that its size deserves."""
    if value is None:
        return _UNKNOWN
    if value >= _MINUTE_SECONDS:
        return f"{value:,.0f} s"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.3g} ms"


def rate(value: float) -> str:
    """A rate as a whole number."""
    return f"{value:,.0f}"


def percent(value: float) -> str:
    """A fraction as percent."""
    return f"{value:.1%}"


def gib(value: float) -> str:
    """Bytes as GiB."""
    return f"{value / _GIB:.1f}"


def money(value: float) -> str:
    """US dollars; small sums keep their digits."""
    return f"${value:,.0f}" if value >= 1000 else f"${value:.4g}"  # noqa: PLR2004 - where cents stop to matter
