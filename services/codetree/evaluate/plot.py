"""Bar charts with error bars as SVG text: nothing to install, and a difference between two reports can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_LABEL, _PLOT, _ROW, _TOP = 360, 420, 26, 40


class Bar(NamedTuple):
    """A bar and its interval."""

    label: str
    value: float
    low: float | None
    high: float | None


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars from 0; the scale ends at the largest interval's end."""
    most = max((bar.value if bar.high is None else bar.high for bar in bars), default=0.0) or 1.0
    width, height = _LABEL + _PLOT + 90, _TOP + _ROW * len(bars) + 10
    rows = "".join(_row(bar, _TOP + _ROW * index, _PLOT / most) for index, bar in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="22" font-size="14">{escape(title)}</text>{rows}</svg>\n'
    )


def _row(bar: Bar, top: float, scale: float) -> str:
    middle, length = top + _ROW / 2, bar.value * scale
    parts = [
        f'<text x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect x="{_LABEL}" y="{top + 4}" width="{length:.1f}" height="{_ROW - 8}" fill="#4878a8"/>',
    ]
    end = length
    if bar.low is not None and bar.high is not None:
        low, high = _LABEL + bar.low * scale, _LABEL + bar.high * scale
        ends = f"M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"
        parts.append(f'<path d="M{low:.1f} {middle}H{high:.1f}{ends}" stroke="#222"/>')
        end = max(length, high - _LABEL)
    parts.append(f'<text x="{_LABEL + end + 6:.1f}" y="{middle + 4}">{bar.value:.3g}</text>')
    return "".join(parts)
