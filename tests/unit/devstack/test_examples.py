"""The request files the demo sends are ones the services accept, and the episode is the recorded one."""

from __future__ import annotations

import json
from pathlib import Path

from codetree.llm.recording import load_recording
from codetree.schemas import SolveRequest
from planner.schemas import PlanRequest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def test_the_plan_is_the_one_the_demo_announces() -> None:
    request = PlanRequest.model_validate_json((EXAMPLES / "plan.json").read_text())
    canonical = request.canonical()
    assert canonical["workload"]["global_batch_size"] == 512
    assert canonical["workload"]["sequence_length"] == 4096
    assert (canonical["cluster"]["gpu"], canonical["cluster"]["count"]) == ("a100-80gb-sxm", 64)


def test_the_episode_is_the_recorded_one() -> None:
    text = (EXAMPLES / "solve.json").read_text()
    SolveRequest.model_validate_json(text)
    assert json.loads(text) == load_recording("demo").request
