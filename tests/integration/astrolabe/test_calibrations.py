"""Calibrations and exports: through both clients, and through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.scripted_service import Reply, ScriptedService, answer, problem

from astrolabe import ApiProblem, AsyncClient, Client, Export, ExportFormat

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.astrolabe.conftest import Cli

EXPORT_PATH = f"{samples.PLAN_PATH}/exports/megatron"
BODY = {"name": "ours", "runs": []}


@pytest.fixture
def calibrations(service: ScriptedService) -> ScriptedService:
    """Two pages of two calibrations, the first of which is read, fitted and deleted."""
    service.on("POST", "/calibrations", answer(samples.calibration(), 201))
    service.on("GET", samples.CALIBRATION_PATH, answer(samples.calibration()))
    service.on("DELETE", samples.CALIBRATION_PATH, Reply(204))
    first, second = samples.calibration("first"), samples.calibration("second")
    pages = {"items": [first], "next_cursor": "more"}, {"items": [second], "next_cursor": None}
    service.on("GET", "/calibrations", *(answer(page) for page in pages))
    return service


@pytest.fixture
def export(service: ScriptedService) -> ScriptedService:
    headers = {"Content-Type": "text/x-shellscript; charset=utf-8"}
    headers["Content-Disposition"] = 'attachment; filename="megatron.sh"'
    service.on("GET", EXPORT_PATH, Reply(200, b"ARGS=(--bf16)\n", headers))
    return service


def test_runs_are_fitted_under_a_key_and_the_fit_is_kept(calibrations: ScriptedService, client: Client) -> None:
    fitted = client.calibrate(BODY)
    assert (fitted.id, fitted.errors.after, fitted.factors) == (samples.CALIBRATION, 0.041, {"slowdown": 1.25})
    assert client.calibration(fitted.id) == fitted
    assert [one.name for one in client.calibrations()] == ["first", "second"]
    client.delete_calibration(fitted.id)
    [sent] = calibrations.requests("POST", "/calibrations")
    assert sent.body == BODY
    assert sent.headers["idempotency-key"]
    assert dict(calibrations.requests("GET", "/calibrations")[1].params) == {"cursor": "more"}
    assert len(calibrations.requests("DELETE", samples.CALIBRATION_PATH)) == 1


async def test_the_asynchronous_client_does_the_same(
    calibrations: ScriptedService, export: ScriptedService, async_client: AsyncClient
) -> None:
    fitted = await async_client.calibrate(BODY, idempotency_key="mine")
    assert await async_client.calibration(fitted.id) == fitted
    assert [one.name async for one in async_client.calibrations()] == ["first", "second"]
    await async_client.delete_calibration(fitted.id)
    assert calibrations.requests("POST", "/calibrations")[0].headers["idempotency-key"] == "mine"
    assert (await async_client.export(samples.JOB, "megatron")).filename == "megatron.sh"
    assert len(export.requests("GET", EXPORT_PATH)) == 1


def test_a_plan_is_exported_with_its_name_and_type(export: ScriptedService, client: Client) -> None:
    exported = client.export(samples.JOB, ExportFormat.MEGATRON, rank=2)
    assert exported == Export("megatron.sh", "text/x-shellscript", "ARGS=(--bf16)\n")
    assert dict(export.seen[0].params) == {"rank": "2"}


def test_a_plan_that_is_not_finished_is_not_exported(service: ScriptedService, client: Client) -> None:
    service.on("GET", EXPORT_PATH, problem(409, "no-plan", "The job is running: wait until it has succeeded."))
    with pytest.raises(ApiProblem, match="wait until it has succeeded"):
        client.export(samples.JOB, "megatron")


def test_a_calibration_is_created_and_shown(calibrations: ScriptedService, cli: Cli) -> None:
    created = cli("calibrations", "create", "-", "--set", "name=ours", stdin='{"runs": []}')
    assert created.exit_code == 0
    assert calibrations.seen[0].body == BODY
    row = f"{samples.CALIBRATION} ours a100-80gb-sxm megatron-core 4 23.1% 4.1% 2026-11-24 10:00"
    assert row.split() in [line.split() for line in created.stdout.splitlines()]
    assert "slowdown x 1.250" in created.stdout
    assert "Peak memory over 3 runs: 20.0% before, 5.0% after." in created.stdout
    assert f"--set calibration={samples.CALIBRATION}" in created.stdout
    shown = cli("calibrations", "show", samples.CALIBRATION)
    assert shown.stdout == created.stdout


def test_calibrations_are_listed_newest_first_up_to_a_limit(calibrations: ScriptedService, cli: Cli) -> None:
    assert [line.split()[1] for line in cli("calibrations", "list").stdout.splitlines()[1:]] == ["first", "second"]
    calibrations.on("GET", "/calibrations", answer({"items": [samples.calibration()] * 2, "next_cursor": "more"}))
    listed = cli("calibrations", "list", "--limit", "1", "--json")
    assert json.loads(listed.stdout)["items"][0]["id"] == samples.CALIBRATION
    assert len(json.loads(listed.stdout)["items"]) == 1


@pytest.mark.usefixtures("calibrations")
def test_json_is_what_the_service_said(cli: Cli) -> None:
    for arguments, stdin in ((["show", samples.CALIBRATION], None), (["create", "-"], "{}")):
        assert json.loads(cli("calibrations", *arguments, "--json", stdin=stdin).stdout) == samples.calibration()
    assert json.loads(cli("calibrations", "delete", samples.CALIBRATION, "--json").stdout) == {
        "deleted": samples.CALIBRATION
    }


def test_a_calibration_is_deleted_or_said_to_be_unknown(calibrations: ScriptedService, cli: Cli) -> None:
    assert cli("calibrations", "delete", samples.CALIBRATION).stdout == f"deleted {samples.CALIBRATION}\n"
    unknown = problem(404, "not-found", "There is no such calibration; list your calibrations.")
    calibrations.on("DELETE", samples.CALIBRATION_PATH, unknown)
    refused = cli("calibrations", "delete", samples.CALIBRATION)
    assert refused.exit_code == 2
    assert "list your calibrations" in refused.stderr


@pytest.mark.usefixtures("export")
def test_an_export_goes_to_standard_output_or_a_file(cli: Cli, tmp_path: Path) -> None:
    assert cli("export", samples.JOB, "megatron").stdout == "ARGS=(--bf16)\n"
    target = tmp_path / "args.sh"
    assert cli("export", samples.JOB, "megatron", "-o", str(target)).stdout == ""
    assert target.read_text() == "ARGS=(--bf16)\n"
    as_json = json.loads(cli("export", samples.JOB, "megatron", "--json").stdout)
    assert as_json == {"filename": "megatron.sh", "media_type": "text/x-shellscript", "text": "ARGS=(--bf16)\n"}
    assert cli("export", samples.JOB, "slurm").exit_code == 2


@pytest.mark.usefixtures("export")
def test_a_file_that_cannot_be_written_is_said(cli: Cli, tmp_path: Path) -> None:
    refused = cli("export", samples.JOB, "megatron", "-o", str(tmp_path / "no" / "args.sh"))
    assert refused.exit_code == 2
    assert "cannot be written" in refused.stderr
