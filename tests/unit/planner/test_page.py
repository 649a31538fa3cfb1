"""The page of the cost model and its plots, written from a few rows."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from tests.unit.planner.validation_rows import row

from planner.validation.page import write_page
from planner.validation.svg import scatter, spreads

if TYPE_CHECKING:
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - written by this project


def test_points_on_the_diagonal_are_right() -> None:
    root = parsed(scatter({"right": [(1.0, 1.0), (30.0, 30.0)], "slow <3": [(2.0, 4.0)]}, "times"))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]
    sums = [across + up for across, up in dots]
    assert sums[0] == pytest.approx(sums[1], abs=0.2)
    assert sums[2] < sums[0] - 1  # predicted above measured: higher on the page
    assert any("slow <3 (1)" in (text.text or "") for text in root.iter(f"{SVG}text"))


def test_spreads_show_the_median_of_each_group() -> None:
    root = parsed(spreads({"low": [-0.2, -0.2, -0.2], "high": [0.1, 0.3, 0.5]}, "errors"))
    low, high = (float(dot.attrib["cx"]) for dot in root.iter(f"{SVG}circle"))
    zero = float(next(root.iter(f"{SVG}line")).attrib["x1"])
    assert low < zero < high
    assert (high - zero) / (zero - low) == pytest.approx(1.5, rel=0.01)


def test_the_page_holds_every_way_of_predicting_and_every_figure(tmp_path: Path) -> None:
    rows = [
        row(id=f"{source}{tensor}", source=source, tp=str(tensor), dp=str(8 // tensor), tier="A")
        for source in ("one", "two")
        for tensor in (1, 2, 4, 8)
    ]
    write_page([*rows, row(id="bad", heads="", tier="A")], tmp_path)
    page = (tmp_path / "cost-model.md").read_text()
    for way in ("bases", "defaults", "source left out", "group left out", "K = 3"):
        assert f"| {way} |" in page
    assert "8 of 9 tier A rows are expressible" in page
    assert "- 1: heads: missing" in page
    figures = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert all(f"figures/{name}" in page for name in figures)
    assert all(parsed((tmp_path / "figures" / name).read_text()).tag == f"{SVG}svg" for name in figures)
