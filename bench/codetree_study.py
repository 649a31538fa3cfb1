"""The study of policies with simulated models: `docs/codetree-study.md` is made from its results.

``PYTHONPATH=. python bench/codetree_study.py [PART ...]`` starts a sandbox and the simulated models, evaluates, and
writes ``bench/results/codetree-study/PART`` for each part. Episodes that are done are not run again while
``--keep`` names the same folder. Everything it finds is simulation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from bench.sandbox_load import machine

RESULTS = Path(__file__).parent / "results" / "codetree-study"
MODELS = Path(__file__).parent / "codetree-simulated-models.toml"
ALL_MODELS = "simulated-strong,simulated-middle,simulated-weak"
POOLS = f"{ALL_MODELS},{ALL_MODELS.replace(',', '+')}"
MIDDLE = "simulated-middle"
POLICIES = "tree programs:count=5 programs:count=9 program codeact"
ABLATIONS = (
    "tree tree:root_width=1 tree:branching=1 tree:max_layers=1 tree:max_layers=2 tree:exploration.prompts=builtin "
    "tree:exploration.prompts=evolved tree:quorum=2 tree:deduplicate=false"
)
TEMPERATURES = (
    "tree tree:temperature=0 tree:temperature=0.35 tree:temperature=1.2 tree:exploration.temperatures=[0,0.7,1.0] "
    "tree:exploration.temperatures=[1.0,0.7,0.35] programs:count=5 programs:count=5,temperature=0"
)
PARTS = {
    "m3tooleval-policies": ("m3tooleval", ALL_MODELS, POLICIES, 2),
    "m3tooleval-ablations": ("m3tooleval", MIDDLE, ABLATIONS, 2),
    "m3tooleval-models": ("m3tooleval", POOLS, "tree tree:exploration.prompts=builtin", 2),
    "m3tooleval-temperatures": ("m3tooleval", MIDDLE, TEMPERATURES, 2),
    "apibank_level3-policies": ("apibank_level3", ALL_MODELS, POLICIES, 1),
    "apibank_level3-ablations": ("apibank_level3", MIDDLE, ABLATIONS, 2),
}
READY_SECONDS = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="by default all: " + ", ".join(PARTS))
    parser.add_argument("--jobs", type=int, default=6, help="episodes at once")
    parser.add_argument("--keep", type=Path, help="where results are gathered; a run that was cut goes on from it")
    given = parser.parse_args()
    if unknown := set(given.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    with ExitStack() as cleanup:
        folder = given.keep or Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="astrolabe-study-")))
        environment = started(folder, cleanup)
        for part in given.parts or PARTS:
            measured(part, folder / part, environment, given.jobs)


def started(folder: Path, cleanup: ExitStack) -> dict[str, str]:
    """A sandbox and the simulated models, until this process ends; the environment in which they are used."""
    folder.mkdir(parents=True, exist_ok=True)
    sandbox_port, model_port = free_port(), free_port()
    models = folder / "models.toml"
    models.write_text(MODELS.read_text().replace("127.0.0.1:8010", f"127.0.0.1:{model_port}"))
    environment = {
        **os.environ,
        "ASTROLABE_SANDBOX_PORT": str(sandbox_port),
        "ASTROLABE_SANDBOX_URL": f"http://127.0.0.1:{sandbox_port}",
        "ASTROLABE_MODELS_FILE": str(models),
        "ASTROLABE_LOG_LEVEL": "ERROR",
    }
    for name, command in (
        ("sandbox", ["sandbox"]),
        ("models", ["codetree", "simulate", "--port", str(model_port)]),
    ):
        log = cleanup.enter_context((folder / f"{name}.log").open("w"))
        process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
        cleanup.callback(process.wait)
        cleanup.callback(process.terminate)
    until_ready(f"http://127.0.0.1:{sandbox_port}/readyz")
    until_ready(f"http://127.0.0.1:{model_port}/v1/models")
    return environment


def measured(part: str, folder: Path, environment: dict[str, str], jobs: int) -> None:
    """Evaluate one part and put its report, and what it was made with, among the results."""
    suite, models, policies, repeats = PARTS[part]
    command = [sys.executable, "-m", "codetree", "evaluate", suite, "--report", str(folder), "--jobs", str(jobs)]
    command += ["--models", models, "--policies", policies, "--repeats", str(repeats)]
    started_at = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    target = RESULTS / part
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("results.jsonl"))
    made_with = {
        "command": f"PYTHONPATH=. python bench/codetree_study.py {part}",
        "seconds": round(time.monotonic() - started_at),
        "simulated": True,
        **machine(),
    }
    (target / "made-with.json").write_text(json.dumps(made_with, indent=1) + "\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    with httpx.Client(trust_env=False, timeout=5) as client:
        while True:
            try:
                if client.get(url).is_success:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"{url} did not become ready within {READY_SECONDS:g} s")
            time.sleep(0.1)


if __name__ == "__main__":
    main()
