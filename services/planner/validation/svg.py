"""Two small plots as SVG text: points on logarithmic axes, and spreads by group."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SIZE, _MARGIN = 520, 56
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
_OPEN = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
    'font-size="12"><rect width="{width}" height="{height}" fill="#ffffff"/>'
)


def scatter(groups: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Return predicted against measured seconds, one colour a group, with the diagonal and +-20 % beside it."""
    values = np.log10([value for points in groups.values() for point in points for value in point])
    low, high = float(np.floor(values.min())), float(np.ceil(values.max()))

    def across(value: float) -> float:
        return float(_MARGIN + (np.log10(value) - low) / (high - low) * (_SIZE - 2 * _MARGIN))

    def up(value: float) -> float:
        return _SIZE - across(value)

    parts = [_OPEN.format(width=_SIZE + 150, height=_SIZE), _text(_SIZE / 2, 22, title, "middle")]
    for factor, dash in ((1.0, ""), (1.2, "4 4"), (1 / 1.2, "4 4")):
        ends = (10**low * max(1, 1 / factor), 10**high * min(1, 1 / factor))
        line = " ".join(f"{across(end):.1f},{up(end * factor):.1f}" for end in ends)
        parts.append(f'<polyline points="{line}" stroke="#888888" stroke-dasharray="{dash}" fill="none"/>')
    for exponent in range(int(low), int(high) + 1):
        parts.append(_text(across(10.0**exponent), _SIZE - _MARGIN + 18, f"{10.0**exponent:g} s", "middle"))
        parts.append(_text(_MARGIN - 6, up(10.0**exponent) + 4, f"{10.0**exponent:g}", "end"))
    for index, (name, points) in enumerate(groups.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5" fill="{colour}" fill-opacity="0.6"/>'
            for x, y in points
        ]
        parts.append(_text(_SIZE, 60 + 18 * index, f"{name} ({len(points)})", "start", colour))
    parts.append(_text(_SIZE / 2, _SIZE - 12, "measured; up: predicted", "middle"))
    return "".join([*parts, "</svg>\n"])


def spreads(groups: Mapping[str, Sequence[float]], title: str) -> str:
    """Return for each group the 10th to 90th percentile of signed errors, and the median, as horizontal bars."""
    height, left, scale = 60 + 22 * len(groups), 330, 2.2
    zero = left + 60 * scale
    parts = [_OPEN.format(width=720, height=height), _text(360, 22, title, "middle")]
    parts.append(f'<line x1="{zero}" y1="34" x2="{zero}" y2="{height - 20}" stroke="#888888"/>')
    for index, (name, errors) in enumerate(groups.items()):
        low, middle, high = (float(np.clip(np.percentile(errors, q) * 100, -60, 100)) for q in (10, 50, 90))
        y = 48 + 22 * index
        parts.append(_text(left - 8, y + 4, f"{name} ({len(errors)})", "end"))
        width = max((high - low) * scale, 1)
        parts.append(f'<rect x="{zero + low * scale:.1f}" y="{y - 6}" width="{width:.1f}" height="12" fill="#9ecae1"/>')
        parts.append(f'<circle cx="{zero + middle * scale:.1f}" cy="{y}" r="4" fill="#08519c"/>')
    parts += [_text(zero + p * scale, height - 6, f"{p:+d} %", "middle") for p in (-50, -25, 0, 25, 50, 75, 100)]
    return "".join([*parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
