"""The client's models and the tests' samples, held against what the services really answer."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter
from rich.console import Console
from tests.integration.astrolabe import samples

from astrolabe import (
    Episode,
    Event,
    FieldError,
    JobState,
    JobStatus,
    Plan,
    WebhookVerificationError,
    verify_webhook,
)
from astrolabe.batches.models import BatchCounts, BatchReceipt, BatchState, BatchStatus, Rejection
from astrolabe.calibrations import Calibration, CalibrationErrors, CalibrationPage, MemoryErrors
from astrolabe.catalog import Gpu, ModelPreset, Price
from astrolabe.episodes import Node, Usage, Vote
from astrolabe.exports import ExportFormat
from astrolabe.models import Answered, JobPage, Progress
from astrolabe.plans import (
    Candidate,
    Estimate,
    EstimateReply,
    Memory,
    Money,
    Reason,
    SearchSummary,
    StageMemory,
    Strategy,
)
from astrolabe.render.plans import print_estimates, print_plan
from codetree import schemas as codetree
from kit import problems
from kit.batches import views as batches
from kit.batches.lines import Rejection as ServiceRejection
from kit.jobs import states, views
from kit.webhooks import signature
from planner import catalog, exports
from planner import schemas as planner
from planner.calibration import schemas as calibrations
from planner.engine import inputs, outputs

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (JobState, views.JobView),
        (JobPage, views.JobList),
        (Progress, views.Progress),
        (FieldError, problems.FieldError),
        (Plan, planner.PlanView),
        (Candidate, outputs.Candidate),
        (Strategy, inputs.Strategy),
        (Estimate, outputs.Estimate),
        (EstimateReply, planner.Estimates),
        (Memory, outputs.Memory),
        (StageMemory, outputs.StageMemory),
        (Reason, outputs.Reason),
        (Money, outputs.Money),
        (SearchSummary, outputs.SearchSummary),
        (Episode, codetree.SolveView),
        (Node, codetree.Node),
        (Vote, codetree.Vote),
        (Usage, codetree.UsageView),
        (BatchReceipt, batches.BatchReport),
        (BatchState, batches.BatchView),
        (Rejection, ServiceRejection),
        (Calibration, calibrations.CalibrationView),
        (CalibrationPage, calibrations.CalibrationList),
        (CalibrationErrors, calibrations.CalibrationErrors),
        (MemoryErrors, calibrations.MemoryErrors),
    ],
)
def test_every_field_the_client_reads_is_one_the_service_has(ours: type[Answered], theirs: type[Any]) -> None:
    assert ours.model_fields.keys() <= theirs.model_fields.keys()


def test_the_states_of_a_job_are_the_same() -> None:
    assert {status.value: status.ended for status in JobStatus} == {
        status.value: status.is_terminal for status in states.JobStatus
    }


def test_the_formats_of_exports_are_the_same() -> None:
    assert set(ExportFormat) == set(get_args(exports.Format))


def test_the_states_of_a_batch_are_the_same() -> None:
    assert set(BatchStatus) == set(get_args(batches.BatchStatus))
    assert set(BatchCounts.model_fields) == set(states.JobStatus)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Gpu, list(catalog.gpus().values())),
        (ModelPreset, list(catalog.models().values())),
        (Price, list(catalog.prices())),
    ],
)
def test_the_whole_catalogue_is_read(ours: type[Answered], theirs: list[Any]) -> None:
    answered = TypeAdapter(list[Any]).dump_python(theirs, mode="json")
    read = [ours.model_validate(entry) for entry in answered]
    assert read
    assert all(ours.model_fields.keys() <= entry.keys() for entry in answered)


@pytest.mark.parametrize(
    ("sample", "schema"),
    [
        (samples.job("queued"), views.JobView),
        (samples.failed_episode(), views.JobView),
        (samples.receipt(2, samples.rejection(2, "b")), batches.BatchReport),
        (samples.batch("running", queued=2), batches.BatchView),
        (samples.calibration(), calibrations.CalibrationView),
    ],
)
def test_samples_are_what_services_answer(sample: dict[str, Any], schema: type[Any]) -> None:
    schema.model_validate(sample)


def test_a_real_search_is_read_and_shown() -> None:
    request = planner.PlanRequest.model_validate_json((EXAMPLES / "plan.json").read_bytes())
    result = request.run().model_dump(mode="json")
    plan = Plan.model_validate({**samples.job("succeeded"), **result})
    target = io.StringIO()
    print_plan(Console(file=target, width=300), plan)
    assert [candidate.strategy.model_dump(mode="json") for candidate in plan.candidates] == [
        candidate["strategy"] for candidate in result["candidates"]
    ]
    rows = target.getvalue().splitlines()[1:6]
    assert [row.split()[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert all("TP" in row and "of 80.0" in row for row in rows)


@pytest.mark.parametrize("several", [True, False])
def test_real_estimates_are_read_and_shown(several: bool) -> None:
    body = json.loads((EXAMPLES / "estimate.json").read_bytes())
    if not several:
        body["strategy"] = body.pop("strategies")[0]
    answered = planner.EstimateRequest.model_validate(body).run().model_dump(mode="json")
    estimates = EstimateReply.model_validate(answered).estimates
    target = io.StringIO()
    print_estimates(Console(file=target, width=300), estimates)
    assert len(estimates) == (2 if several else 1)
    assert "compute" in target.getvalue()


def test_the_example_of_an_episode_is_one_codetree_accepts() -> None:
    codetree.SolveRequest.model_validate_json((EXAMPLES / "solve.json").read_bytes())


def test_only_the_events_that_end_a_job_are_taken_for_its_end() -> None:
    ending = [status for status in states.JobStatus if Event(id=1, type=f"job.{status}").ends_job]
    assert ending == [status for status in states.JobStatus if status.is_terminal]
    assert not Event(id=1, type="episode.finished").ends_job
    assert not Event(id=1, type="node.failed").ends_job


def test_what_the_service_signs_is_verified_also_while_a_secret_is_replaced() -> None:
    old, new = (f"whsec_{base64.b64encode(key).decode()}" for key in (b"o" * 24, b"n" * 24))
    body = b'{"type": "job.succeeded", "data": {}}'
    headers = signature.headers("msg_1", 1_800_000_000, body, [old, new])
    for secret in (old, new):
        assert verify_webhook(headers, body, secret, now=1_800_000_000)["type"] == "job.succeeded"
    with pytest.raises(WebhookVerificationError):
        verify_webhook(headers, body, f"whsec_{base64.b64encode(b'x' * 24).decode()}", now=1_800_000_000)
