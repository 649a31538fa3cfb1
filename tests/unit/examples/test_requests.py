"""The requests in examples/ are ones that the services accept; the manifests are ones that Kubernetes and Slurm read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from codetree.schemas import SolveRequest
from planner.schemas import EstimateRequest, PlanRequest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
WORKLOAD = list(yaml.safe_load_all((EXAMPLES / "kueue" / "plans.yaml").read_text()))


def lines(name: str) -> list[str]:
    return (EXAMPLES / "batches" / name).read_text().splitlines()


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("plan.json", PlanRequest),
        ("estimate.json", EstimateRequest),
        ("solve.json", SolveRequest),
        ("solve-with-planner.json", SolveRequest),
    ],
)
def test_requests_are_accepted(name: str, schema: type[Any]) -> None:
    schema.model_validate_json((EXAMPLES / name).read_bytes())


@pytest.mark.parametrize(
    ("requests", "schema"),
    [
        (lines("plans.ndjson"), PlanRequest),
        (lines("tasks.ndjson"), SolveRequest),
        (WORKLOAD[0]["data"]["plans.ndjson"].splitlines(), PlanRequest),
    ],
    ids=["plans", "tasks", "kueue"],
)
def test_lines_of_batches_are_accepted_and_have_ids_of_their_own(requests: list[str], schema: type[Any]) -> None:
    ids = [schema.model_validate_json(line).external_id for line in requests]
    assert len(ids) > 1
    assert None not in ids
    assert len(set(ids)) == len(ids)


def test_the_workload_is_admitted_by_kueue_and_confined() -> None:
    job = WORKLOAD[1]
    assert job["kind"] == "Job"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    assert job["spec"]["suspend"] is True
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["volumes"][0]["configMap"]["name"] == WORKLOAD[0]["metadata"]["name"]
    assert container["command"][3] == f"{container['volumeMounts'][0]['mountPath']}/{next(iter(WORKLOAD[0]['data']))}"
    assert {rule["onExitCodes"]["containerName"] for rule in job["spec"]["podFailurePolicy"]["rules"]} == {"submit"}
    variables = {variable["name"] for variable in container["env"]}
    assert {word[2:-1] for word in container["command"] if word.startswith("$(")} <= variables


@pytest.mark.parametrize("script", ["curl/batch.sh", "slurm/plans.sbatch"])
def test_scripts_have_no_syntax_errors(script: str) -> None:
    subprocess.run(["bash", "-n", EXAMPLES / script], check=True, timeout=10)


def test_slurm_reads_every_directive_before_the_first_command() -> None:
    script = (EXAMPLES / "slurm" / "plans.sbatch").read_text().splitlines()
    directives = [number for number, line in enumerate(script) if line.startswith("#SBATCH ")]
    first_command = next(number for number, line in enumerate(script) if line and not line.startswith("#"))
    assert directives
    assert max(directives) < first_command


def test_what_the_guide_names_is_there() -> None:
    guide = (EXAMPLES / "README.md").read_text()
    named = [name for row in guide.splitlines() if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row)]
    files = [name for name in named if Path(name).suffix and " " not in name]
    assert len(files) > 9
    assert [name for name in files if not (EXAMPLES / name).is_file()] == []
