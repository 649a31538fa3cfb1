"""What was drawn with matplotlib and is still open when the program ends, as PNG files of the working directory."""

from __future__ import annotations

import sys

MAX_FIGURES = 16


def save_open_figures() -> None:
    """Write ``figure-1.png`` and so on, and close them. Nothing where matplotlib.pyplot was never imported."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    for count, number in enumerate(pyplot.get_fignums()[:MAX_FIGURES], start=1):
        pyplot.figure(number).savefig(f"/box/figure-{count}.png")
    pyplot.close("all")
