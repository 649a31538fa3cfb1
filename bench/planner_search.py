"""Times of the planner's searches: every mode, with the size of the space beside them.

    python bench/planner_search.py [--quick] [--out bench/results]

Writes planner_search.json (every figure), planner_search.md (tables) and planner_search.svg (growth).
One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from planner.engine import (
    ENGINE_VERSION,
    CostCluster,
    HeterogeneousCluster,
    HomogeneousCluster,
    InvalidRequest,
    PlanResult,
    PresetModel,
    SearchOptions,
    Space,
    Workload,
    search,
)

MODELS = (
    "llama-2-7b",
    "llama-2-13b",
    "llama-2-70b",
    "llama-3-8b",
    "llama-3-70b",
    "llama-3-405b",
    "gpt-3-175b",
)
EIGHT_TYPES = ["a100", "a100-40gb", "a800", "h100", "h800", "h200", "b200", "l40s"]
OFFLOAD_OFF = Space(activation_offload=[False], optimizer_offload=[0.0])
Row = dict[str, Any]


def batch(gpus: int) -> int:
    return max(512, gpus // 2)


def timed(
    repeats: int, model: str, workload: Workload, cluster: Any, options: SearchOptions
) -> tuple[PlanResult, tuple[float, float]]:
    """Return the plan, and the medians of wall and processor seconds: on a busy machine only the latter says much."""
    walls, processors = [], []
    for _ in range(repeats):
        began, used = time.perf_counter(), time.process_time()
        plan = search(PresetModel(preset=model), workload, cluster, options)
        walls.append(time.perf_counter() - began)
        processors.append(time.process_time() - used)
    return plan, (median(walls), median(processors))


def row(plan: PlanResult, seconds: tuple[float, float], **labels: Any) -> Row:
    found = plan.search
    best = plan.best
    return labels | {
        "enumerated": found.enumerated,
        "after_rules": found.after_rules,
        "after_memory": found.after_memory,
        "evaluated": found.evaluated,
        "seconds": round(seconds[0], 4),
        "cpu_seconds": round(seconds[1], 4),
        "optimality": found.optimality,
        "best_seconds": round(best.estimate.iteration_seconds, 4) if best else None,
    }


def homogeneous(quick: bool) -> list[Row]:
    rows = []
    for model in MODELS:
        for gpus in (64, 1024) if quick else (64, 1024, 4096, 16384):
            workload = Workload(
                global_batch_size=batch(gpus), sequence_length=2048 if model.startswith("gpt") else 4096
            )
            cluster = HomogeneousCluster(gpu="a100-80gb-sxm", count=gpus)
            plan, seconds = timed(3, model, workload, cluster, SearchOptions())
            rows.append(row(plan, seconds, model=model, gpus=gpus, batch=workload.global_batch_size))
    return rows


def mixture_of_experts(quick: bool) -> list[Row]:
    """Experts add two dimensions and their recompute modules: spaces a hundred times as large."""
    cases = [("mixtral-8x7b", 512), ("deepseek-v3", 2048)]
    rows = []
    for model, gpus in cases if quick else [*cases, ("deepseek-v3", 256), ("qwen-3-235b-a22b", 1024)]:
        workload = Workload(global_batch_size=4096 if gpus >= 1024 else 1024, sequence_length=4096)
        cluster = HomogeneousCluster(gpu="h100", count=gpus)
        plan, seconds = timed(1 if quick else 3, model, workload, cluster, SearchOptions())
        rows.append(row(plan, seconds, model=model, gpus=gpus, batch=workload.global_batch_size))
    return rows


def against_calculon(quick: bool) -> list[Row]:
    """Calculon's case: 1.69 million strategies without offload, 11.7 million with, 31 to 83 a second per core."""
    workload = Workload(global_batch_size=1536, sequence_length=2048)
    cluster = HomogeneousCluster(gpu="a100-80gb-sxm", count=1024)
    rows = []
    for name, space in (("with offload", Space()), ("without offload", OFFLOAD_OFF)):
        for method in ("bounded", "exhaustive"):
            options = SearchOptions(space=space, method=method)  # type: ignore[arg-type]
            plan, seconds = timed(1 if quick else 3, "gpt-3-175b", workload, cluster, options)
            priced = plan.search.evaluated / seconds[1]
            rows.append(row(plan, seconds, space=name, method=method, priced_per_cpu_second=round(priced)))
    return rows


def dimensions() -> Row:
    workload = Workload(global_batch_size=1536, sequence_length=2048)
    plan, _ = timed(1, "gpt-3-175b", workload, HomogeneousCluster(gpu="a100-80gb-sxm", count=1024), SearchOptions())
    return dict(plan.search.dimensions)


def heterogeneous(quick: bool) -> list[Row]:
    rows = []
    for types in (["a800", "h100"], ["a800", "h100", "h800"]):
        for gpus in (64, 1024) if quick else (64, 256, 1024, 4096, 8192):
            model = "llama-2-7b" if gpus < 256 else "llama-2-70b"
            workload = Workload(global_batch_size=batch(gpus), sequence_length=4096)
            limits = dict.fromkeys(types, gpus // 2)
            cluster = HeterogeneousCluster(mode="heterogeneous", total=gpus, limits=limits)
            plan, seconds = timed(1 if quick else 3, model, workload, cluster, SearchOptions())
            rows.append(row(plan, seconds, model=model, gpus=gpus, types=len(types)))
    return rows


def cost(quick: bool) -> list[Row]:
    rows = []
    for model in ("llama-2-70b",) if quick else ("llama-2-7b", "llama-2-70b", "gpt-3-175b"):
        workload = Workload(
            global_batch_size=1024, sequence_length=2048 if model.startswith("gpt") else 4096, tokens=1e12
        )
        cluster = CostCluster(mode="cost", gpus=EIGHT_TYPES, max_count=16384)
        plan, seconds = timed(1 if quick else 3, model, workload, cluster, SearchOptions())
        rows.append(row(plan, seconds, model=model, types=8, max_count=16384, frontier=len(plan.frontier)))
    return rows


def growth(quick: bool) -> list[Row]:
    rows = []
    workload = Workload(global_batch_size=1024, sequence_length=4096)
    for gpus in (8, 64, 512, 4096) if quick else (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384):
        try:
            plan, seconds = timed(
                3, "llama-2-70b", workload, HomogeneousCluster(gpu="h100", count=gpus), SearchOptions()
            )
        except InvalidRequest:
            continue
        rows.append(row(plan, seconds, along="gpus", value=gpus))
    for model, layers in (("llama-2-7b", 32), ("llama-2-13b", 40), ("llama-2-70b", 80), ("llama-3-405b", 126)):
        plan, seconds = timed(3, model, workload, HomogeneousCluster(gpu="h100", count=1024), SearchOptions())
        rows.append(row(plan, seconds, along="layers", value=layers))
    spaces = (
        ("degrees only", Space(recompute=["none"], sharding=["zero1"], tp_overlap=[False], activation_offload=[False],
                               optimizer_offload=[0.0], p2p_overlap=[False], context_comm=["p2p"])),
        ("no offload", OFFLOAD_OFF),
        ("everything", Space()),
    )  # fmt: skip
    for name, space in spaces:
        options = SearchOptions(space=space)
        plan, seconds = timed(3, "llama-2-70b", workload, HomogeneousCluster(gpu="h100", count=1024), options)
        rows.append(row(plan, seconds, along="space", value=name))
    priced = Workload(global_batch_size=1024, sequence_length=4096, tokens=1e12)
    for types in (1, 2, 4, 8):
        cluster = CostCluster(mode="cost", gpus=EIGHT_TYPES[-types:], max_count=4096)
        plan, seconds = timed(1, "llama-2-70b", priced, cluster, SearchOptions())
        rows.append(row(plan, seconds, along="types", value=types))
    return rows


START = """
import time; began = time.perf_counter()
from planner.engine import HomogeneousCluster, PresetModel, Workload, search
loaded = time.perf_counter()
ask = lambda: search(PresetModel(preset="llama-2-7b"), Workload(global_batch_size=512, sequence_length=4096),
                     HomogeneousCluster(gpu="a100", count=64))
ask(); first = time.perf_counter(); ask(); second = time.perf_counter()
print(loaded - began, first - loaded, second - first)
"""


def start_up() -> Row:
    output = subprocess.run([sys.executable, "-c", START], check=True, capture_output=True, text=True).stdout
    imports, first, second = (float(part) for part in output.split())
    return {
        "import_seconds": round(imports, 3),
        "first_search_seconds": round(first, 3),
        "second_search_seconds": round(second, 3),
    }


def table(rows: list[Row]) -> str:
    names = list(dict.fromkeys(name for one in rows for name in one))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for one in rows:
        cells = (
            f"{value:,}" if isinstance(value, int) else str(value) for value in (one.get(name, "") for name in names)
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


PANEL_WIDTH, PANEL_HEIGHT = 300, 240
PUBLISHED_SECONDS = 1.27
AXES = {"gpus": "GPUs", "layers": "layers", "types": "GPU types, cost mode", "space": "strategies in the space"}


def plot(rows: list[Row]) -> str:
    """Draw seconds against what grows, both logarithmic, one panel each, as SVG."""
    drawn = [panel([one for one in rows if one["along"] == along], name) for along, name in AXES.items()]
    panels = "".join(f'<g transform="translate({PANEL_WIDTH * i},0)">{part}</g>' for i, part in enumerate(drawn))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PANEL_WIDTH * len(AXES)} {PANEL_HEIGHT}" '
        f'font-family="sans-serif" font-size="9">{panels}</svg>\n'
    )


def panel(rows: list[Row], name: str) -> str:
    grows = [one["enumerated"] if isinstance(one["value"], str) else one["value"] for one in rows]
    points = [(log10(x), log10(one["seconds"])) for x, one in zip(grows, rows, strict=True)]
    low, high, left, right = -2.0, 1.0, points[0][0], points[-1][0]

    def place(x: float, y: float) -> tuple[float, float]:
        return 45 + 235 * (x - left) / ((right - left) or 1), 200 - 180 * (y - low) / (high - low)

    placed = [place(*point) for point in points]
    path = " ".join(f"{'L' if i else 'M'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(placed))
    marks = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed)
    ends = "".join(
        f'<text x="{placed[i][0]:.0f}" y="214" text-anchor="middle">{grows[i]:,}</text>' for i in (0, len(grows) - 1)
    )
    scale = "".join(
        f'<text x="40" y="{place(left, y)[1] + 3:.0f}" text-anchor="end">{10**y:g} s</text>'
        f'<line x1="45" x2="280" y1="{place(left, y)[1]:.0f}" y2="{place(left, y)[1]:.0f}" stroke="#ddd"/>'
        for y in (-2, -1, 0, 1)
    )
    published = place(left, log10(PUBLISHED_SECONDS))[1]
    return (
        f'{scale}<path d="{path}" fill="none" stroke="#1f77b4" stroke-width="2"/>{marks}{ends}'
        f'<line x1="45" x2="280" y1="{published:.0f}" y2="{published:.0f}" stroke="#d62728" stroke-dasharray="4"/>'
        f'<text x="165" y="230" text-anchor="middle">{name}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    asked = parser.parse_args()
    sections: dict[str, Any] = {
        "homogeneous": homogeneous(asked.quick),
        "mixture_of_experts": mixture_of_experts(asked.quick),
        "calculon_case": against_calculon(asked.quick),
        "heterogeneous": heterogeneous(asked.quick),
        "cost": cost(asked.quick),
        "growth": growth(asked.quick),
        "dimensions": dimensions(),
        "start_up": start_up(),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "engine_version": ENGINE_VERSION,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, one thread",
        "load_average": os.getloadavg()[0],
    }
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "planner_search.json").write_text(json.dumps(sections, indent=1) + "\n")
    (asked.out / "planner_search.svg").write_text(plot(sections["growth"]))
    text = [
        "# Planner searches",
        "",
        f"Engine {ENGINE_VERSION}; {sections['machine']}; load {sections['load_average']:.1f}.",
    ]
    text += [f"Peak memory {sections['peak_memory_mib']} MiB. Medians of whole searches, their estimates included."]
    for name in ("homogeneous", "mixture_of_experts", "calculon_case", "heterogeneous", "cost", "growth"):
        text += ["", f"## {name}", "", table(sections[name])]
    text += ["", "## dimensions (gpt-3-175b, 1,024 GPUs)", "", table([sections["dimensions"]])]
    text += [
        "",
        "## start-up of a fresh process",
        "",
        table([sections["start_up"]]),
        "",
        "![growth](planner_search.svg)",
        "",
        f"llama-2-70b on H100s; the dashed line is the published average, {PUBLISHED_SECONDS} s (arXiv 2502.13480).",
    ]
    (asked.out / "planner_search.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
