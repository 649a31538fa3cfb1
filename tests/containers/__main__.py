"""``python -m tests.containers``: the hostile programs against the sandbox, wherever it can confine them.

On this host by bubblewrap; by bubblewrap in the built image, as unprivileged as docker-compose.yml has it; and by
containers, through the engine. What each passes, what it skips and why, and how their ``isolation`` differs is printed
and written to a file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import docker
import docker.errors
import httpx
from tests.containers.images import ROOT, TOKEN, build, composed_sandbox
from tests.support.sandbox_service import ELSEWHERE, SECRET, running_sandbox

SUITE = "tests/security/sandbox/test_hostile_programs.py"
READY_SECONDS = 60


def main() -> int:
    """Run all; 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.containers", description=__doc__)
    parser.add_argument("--base-image", default=os.environ.get("BASE_IMAGE", "python:3.11-slim-bookworm"))
    parser.add_argument("--network", default="bridge", help="`host` for an engine without a bridge")
    parser.add_argument("--runtime", help="one more row: containers under this runtime of the engine, runsc say")
    parser.add_argument("--workers", type=int, default=2, help="programs at once")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "sandbox-containers.json")
    chosen = parser.parse_args()
    try:
        engine = docker.from_env()
        version = engine.version()["Version"]
    except docker.errors.DockerException as error:
        sys.exit(f"no container engine answers ({error}): start one, or set DOCKER_HOST to its socket")
    sandbox, guest = (build(engine, target, chosen.base_image, chosen.network) for target in ("sandbox", "guest"))
    rows = {}
    with running_sandbox() as service:
        rows["bubblewrap on this host"] = tried(f"http://127.0.0.1:{service.port}", chosen.workers)
    with composed_sandbox(engine, sandbox, chosen.network, PLANTED_SECRET=SECRET) as url:
        rows["bubblewrap in a container"] = tried(url, chosen.workers)
    for runtime in [None, *([chosen.runtime] if chosen.runtime else [])]:
        with running_sandbox(**docker_settings(guest, runtime)) as service:
            rows[f"containers ({runtime or 'runc'})"] = tried(f"http://127.0.0.1:{service.port}", chosen.workers)
    report(rows, chosen.out, machine(version, chosen.base_image))
    return int(any(row["failed"] for row in rows.values()))


def machine(engine: str, base_image: str) -> dict[str, str]:
    """What the trial was made on."""
    return {
        "command": " ".join(["python -m tests.containers", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "engine": engine,
        "kernel": platform.release(),
        "base_image": base_image,
    }


def docker_settings(image: str, runtime: str | None) -> dict[str, str]:
    """The service's settings for the Docker backend, on the engine this trial uses."""
    settings = {
        "ASTROLABE_SANDBOX_BACKEND": "docker",
        "ASTROLABE_SANDBOX_DOCKER_IMAGE": image,
        "ASTROLABE_SANDBOX_START_SECONDS": "60",
        "ASTROLABE_SANDBOX_QUEUE_SECONDS": "120",
    }
    if runtime:
        settings["ASTROLABE_SANDBOX_DOCKER_RUNTIME"] = runtime
    if "DOCKER_HOST" in os.environ:
        settings["ASTROLABE_SANDBOX_DOCKER_HOST"] = os.environ["DOCKER_HOST"]
    return settings


def tried(url: str, workers: int) -> dict[str, Any]:
    """The suite against the service at ``url``: its isolation, what passed, what was skipped why, what failed."""
    isolation = ready(url)
    with tempfile.NamedTemporaryFile(suffix=".xml") as results:
        command = [sys.executable, "-m", "pytest", "-q", "-n", str(workers), f"--junitxml={results.name}", SUITE]
        # What starts a service of its own looks at this host, not at the one that is tried.
        command += ["-k", "not by_rlimits", "-p", "no:cacheprovider"]
        environment = {**os.environ, ELSEWHERE: url, "ASTROLABE_TEST_SANDBOX_TOKEN": TOKEN}
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        cases = list(ET.parse(results.name).iter("testcase"))  # noqa: S314 - pytest's own
    skipped = Counter(str(mark.get("message")) for case in cases for mark in case.iter("skipped"))
    failed = [
        str(case.get("name")) for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    passed = len(cases) - skipped.total() - len(failed)
    return {"passed": passed, "skipped": dict(skipped), "failed": failed, "isolation": isolation}


def ready(url: str) -> dict[str, Any]:
    """What confines there, once it is ready."""
    deadline, said = time.monotonic() + READY_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{url}/readyz", timeout=30)
        except httpx.HTTPError as error:
            said = str(error)
        else:
            if answer.status_code == httpx.codes.OK:
                isolation: dict[str, Any] = answer.json()["checks"]["confinement"]
                return isolation
            said = answer.text
        time.sleep(0.5)
    sys.exit(f"the sandbox at {url} is not ready after {READY_SECONDS} s: {said}")


def report(rows: dict[str, dict[str, Any]], out: Path, machine: dict[str, str]) -> None:
    """Print and write the rows, and where their isolation differs."""
    keys = sorted({key for row in rows.values() for key in row["isolation"]})
    told = {key: {name: row["isolation"].get(key) for name, row in rows.items()} for key in keys}
    differs = {key: values for key, values in told.items() if len({json.dumps(value) for value in values.values()}) > 1}
    text = json.dumps({"machine": machine, "rows": rows, "isolation_differs": differs}, indent=1)
    out.write_text(text + "\n")
    for name, row in rows.items():
        print(f"{name}: {row['passed']} passed, {sum(row['skipped'].values())} skipped, {len(row['failed'])} failed")
    for key, values in differs.items():
        print(f"  {key}: " + "; ".join(f"{name}: {value}" for name, value in values.items()))


if __name__ == "__main__":
    sys.exit(main())
