"""What the cost model is worth on the measurements the project carries, with what it was taken on.

    PYTHONPATH=. python bench/cost_model.py [--out bench/results]

Writes cost-model.json: errors of iteration time as fractions in every way docs/cost-model.md compares, the ranking of
plans, and peak memory. About two minutes of processor time on one core; the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from hashlib import sha256
from pathlib import Path

from bench.sandbox_load import machine

from planner.calibration.defaults import fitted_path, measurements_path, read_measurements
from planner.engine import ENGINE_VERSION
from planner.validation.metrics import errors_of
from planner.validation.page import predictions_by_way
from planner.validation.report import memory_of, ranking_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    given = parser.parse_args()
    about = {**machine(), "command": "PYTHONPATH=. python bench/cost_model.py"}
    began = time.process_time()
    reading = read_measurements(measurements_path())
    ways = predictions_by_way(reading.priced)
    figures = {
        "versions": {
            "engine": ENGINE_VERSION,
            "measurements_sha256": digest(measurements_path()),
            "calibrations_sha256": digest(fitted_path()),
        },
        "rows": reading.rows,
        "expressible": len(reading.priced),
        "errors": {name: errors_of(one.error for one in predictions) for name, predictions in ways.items()},
        "ranking": ranking_of(ways["defaults"]),
        "memory": memory_of(reading.priced),
        "processor_seconds": round(time.process_time() - began, 1),
    }
    text = json.dumps({"machine": about, "figures": figures}, indent=1)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "cost-model.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
