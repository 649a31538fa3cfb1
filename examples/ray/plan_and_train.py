#!/usr/bin/env python
"""Ray Jobs: ask for the best strategy, then submit the training with it, once.

ASTROLABE_PLANNER_URL, ASTROLABE_API_KEY and RAY_ADDRESS (http://head:8265) say where.

    python plan_and_train.py llama-7b-1 plan.json "python pretrain_gpt.py --config base.yaml"
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ray.job_submission import JobSubmissionClient

from astrolabe import Client

if TYPE_CHECKING:
    from astrolabe.plans import Strategy


def arguments(strategy: Strategy) -> str:
    """The sizes of a strategy, as Megatron-LM's command line names them."""
    sizes = {
        "tensor-model-parallel-size": strategy.tensor_parallel,
        "pipeline-model-parallel-size": strategy.pipeline_parallel,
        "context-parallel-size": strategy.context_parallel,
        "expert-model-parallel-size": strategy.expert_parallel,
        "micro-batch-size": strategy.micro_batch_size,
    }
    flags = ["--sequence-parallel"] if strategy.sequence_parallel else []
    return " ".join([*(f"--{name} {size}" for name, size in sizes.items()), *flags])


def main(name: str, request_file: str, command: str) -> str:
    """The Ray job's id. `name` identifies the plan and the job: a second run with it starts neither again."""
    request = json.loads(Path(request_file).read_text())
    with Client() as client:
        plan = client.plan({**request, "external_id": name}).wait(timeout_seconds=3600)
    if plan.best is None:
        reasons = "; ".join(reason.message for reason in plan.reasons)
        raise SystemExit(f"no strategy is feasible: {reasons}")
    ray = JobSubmissionClient()
    if name not in {job.submission_id for job in ray.list_jobs()}:
        entrypoint = f"{command} {arguments(plan.best.strategy)}"
        ray.submit_job(entrypoint=entrypoint, submission_id=name, metadata={"astrolabe_plan": plan.id})
    return name


if __name__ == "__main__":
    sys.stdout.write(f"{main(*sys.argv[1:])}\n")
