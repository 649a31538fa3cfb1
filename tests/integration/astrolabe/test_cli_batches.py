from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import BATCH, BATCH_PATH, batch, receipt, rejection, result
from tests.integration.astrolabe.scripted_service import ScriptedService, answer, json_lines, problem
from tests.integration.astrolabe.test_polling import GPU, MODEL, PRICE

from astrolabe.batches import lines

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.astrolabe.conftest import Cli

PLANS = '{"external_id": "a", "model": {}}\n\n{"external_id": "b", "model": {}}\n'
PLAN_LINES = [{"external_id": "a", "model": {}}, {"external_id": "b", "model": {}}]


@pytest.fixture
def plans(tmp_path: Path) -> str:
    path = tmp_path / "plans.ndjson"
    path.write_text(PLANS)
    return str(path)


def test_a_file_of_lines_is_submitted(service: ScriptedService, cli: Cli, plans: str) -> None:
    service.on("POST", "/batches", answer(receipt(1, duplicates=1), 202))
    given = cli("batch", "submit", plans)
    assert given.exit_code == 0
    assert given.stdout == f"Batch {BATCH}: 1 of 2 lines accepted, 1 were submitted before, 0 rejected\n"
    assert service.seen[0].body == PLAN_LINES


def test_an_array_from_standard_input_is_submitted_too(service: ScriptedService, cli: Cli) -> None:
    service.on("POST", "/batches", answer(receipt(2), 202))
    assert cli("batch", "submit", "-", stdin=f" {json.dumps(PLAN_LINES)}").exit_code == 0
    assert service.seen[0].body == PLAN_LINES


def test_refused_lines_are_named_by_their_line_in_the_file_and_exit_2(
    service: ScriptedService, cli: Cli, plans: str
) -> None:
    service.on("POST", "/batches", answer(receipt(1, rejection(2, "b")), 202))
    given = cli("batch", "submit", plans)
    assert given.exit_code == 2
    assert "1 of 2 lines accepted, 1 rejected" in given.stdout
    assert given.stderr == "  line 3 (b): cluster.gpu: is unknown; use a100-80gb-sxm\n"


def test_only_the_first_refused_lines_are_listed(service: ScriptedService, cli: Cli) -> None:
    service.on("POST", "/batches", answer(receipt(0, *(rejection(line, "x") for line in range(1, 26))), 202))
    given = cli("batch", "submit", "-", stdin="{}\n" * 25)
    *listed, more = given.stderr.splitlines()
    assert len(listed) == 20
    assert more == "  and 5 more: --json lists them all"


def test_what_was_accepted_is_told_though_the_rest_cannot_be_sent(
    service: ScriptedService, cli: Cli, plans: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 1)
    service.on("POST", "/batches", answer(receipt(1), 202), problem(500, "internal", "a fault of the service"))
    given = cli("batch", "submit", plans)
    assert given.exit_code == 4
    assert given.stdout == f"Batch {BATCH}: 1 of 1 lines accepted, 0 rejected\n"


def test_validation_starts_nothing(service: ScriptedService, cli: Cli, plans: str) -> None:
    service.on("POST", "/batches", answer(receipt(2, id=None, status=None, created_at=None), 202))
    given = cli("batch", "submit", plans, "--validate-only", "--wait")
    assert given.exit_code == 0
    assert given.stdout == "Checked only: 2 of 2 lines accepted, 0 rejected\n"
    assert [sent.params for sent in service.seen] == [[("validate_only", "true")]]


@pytest.mark.parametrize(("counts", "exit_code"), [({"succeeded": 2}, 0), ({"succeeded": 1, "failed": 1}, 1)])
def test_waiting_shows_progress_and_exits_1_when_jobs_failed(
    service: ScriptedService, cli: Cli, plans: str, counts: dict[str, int], exit_code: int
) -> None:
    service.on("POST", "/batches", answer(receipt(2), 202))
    service.on("GET", BATCH_PATH, answer(batch("running", queued=1, succeeded=1)), answer(batch(**counts)))
    given = cli("batch", "submit", plans, "--wait")
    assert given.exit_code == exit_code
    told = " ".join(f"{count} {name}" for name, count in counts.items())
    assert given.stdout.splitlines()[1] == f"Batch {BATCH} finished: {told}"
    assert "batch running: 1/2 jobs" in given.stderr.splitlines()


def test_waiting_says_that_it_does_not_cover_what_was_submitted_before(
    service: ScriptedService, cli: Cli, plans: str
) -> None:
    service.on("POST", "/batches", answer(receipt(0, duplicates=2), 202))
    service.on("GET", BATCH_PATH, answer(batch()))
    given = cli("batch", "submit", plans, "--wait")
    assert given.exit_code == 0
    assert "is not waited for here" in given.stderr
    assert f"Batch {BATCH} finished: no jobs" in given.stdout


def test_json_is_one_document(service: ScriptedService, cli: Cli, plans: str) -> None:
    service.on("POST", "/batches", answer(receipt(2), 202))
    service.on("GET", BATCH_PATH, answer(batch(succeeded=2)))
    given = cli("batch", "submit", plans, "--wait", "--json")
    document = json.loads(given.stdout)
    assert document["receipts"][0]["links"] == samples.BATCH_LINKS
    assert document["batches"][0]["counts"]["succeeded"] == 2
    assert given.stderr == ""


def test_running_out_of_time_exits_3_and_leaves_the_batch(service: ScriptedService, cli: Cli, plans: str) -> None:
    service.on("POST", "/batches", answer(receipt(2), 202))
    service.on("GET", BATCH_PATH, answer(batch("running", queued=2)))
    given = cli("batch", "submit", plans, "--wait", "--timeout", "0")
    assert given.exit_code == 3
    assert f"astrolabe batch results {BATCH} --wait" in given.stderr
    assert service.requests("POST", f"{BATCH_PATH}/cancel") == []


@pytest.mark.parametrize(
    ("arguments", "first_line", "to_planner"),
    [
        ([], '{"task": "t"}', False),
        ([], '{"suite_task": "t"}', False),
        ([], '{"model": {}}', True),
        ([], "no JSON", True),
        (["--service", "codetree"], '{"model": {}}', False),
    ],
)
def test_a_batch_goes_to_the_service_its_first_request_looks_made_for(
    service: ScriptedService, cli: Cli, arguments: list[str], first_line: str, to_planner: bool
) -> None:
    service.on("POST", "/batches", answer(receipt(1), 202))
    other = "http://127.0.0.1:9"
    cli.environment["ASTROLABE_CODETREE_URL" if to_planner else "ASTROLABE_PLANNER_URL"] = other
    assert cli("batch", "submit", "-", *arguments, stdin=first_line).exit_code == 0
    assert len(service.seen) == 1


@pytest.mark.parametrize("stdin", ["", "\n \n", "[", "[]"])
def test_a_file_without_requests_exits_2(cli: Cli, stdin: str) -> None:
    assert cli("batch", "submit", "-", stdin=stdin).exit_code == 2


def test_a_limit_that_was_reached_exits_4_and_says_when_to_come_back(
    service: ScriptedService, cli: Cli, plans: str
) -> None:
    service.on("POST", "/batches", problem(429, "rate-limited", "too many requests", Retry_After="3600"))
    given = cli("batch", "submit", plans)
    assert given.exit_code == 4
    assert "try again in 3600 s" in given.stderr


def test_a_batch_is_shown_by_whichever_service_has_it(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", BATCH_PATH, problem(404, "not-found", "no such batch"), answer(batch("running", queued=1200)))
    given = cli("batch", "show", BATCH)
    assert given.exit_code == 0
    assert given.stdout == f"Batch {BATCH} running: 1,200 queued\n"


def test_a_batch_nobody_has_exits_2(cli: Cli) -> None:
    assert cli("batch", "show", BATCH).exit_code == 2
    assert cli("batch", "show", "../keys").exit_code == 2


def test_results_are_lines_of_json(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", BATCH_PATH, answer(batch("running", queued=1)))
    ended = [result(8, samples.plan(added_later="kept")), result(9, samples.job("failed"))]
    service.on("GET", f"{BATCH_PATH}/results", json_lines(*ended), json_lines())
    given = cli("batch", "results", BATCH, "--since", "7")
    assert given.exit_code == 0
    [first, second] = map(json.loads, given.stdout.splitlines())
    assert first["job"]["added_later"] == "kept"
    assert first["job"]["best"] == samples.plan()["best"]
    assert second["cursor"] == "9"


def test_results_can_be_waited_for(service: ScriptedService, cli: Cli) -> None:
    running = answer(batch("running", queued=1))
    service.on("GET", BATCH_PATH, running, running, answer(batch(succeeded=1)))
    service.on("GET", f"{BATCH_PATH}/results", json_lines(), json_lines(result(1, samples.plan())), json_lines())
    given = cli("batch", "results", BATCH, "--wait")
    assert json.loads(given.stdout)["cursor"] == "1"


def test_a_batch_is_cancelled(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", BATCH_PATH, answer(batch("running", queued=1)), answer(batch("cancelling", cancelling=1)))
    service.on("POST", f"{BATCH_PATH}/cancel", answer(batch("cancelling", cancelling=1), 202))
    given = cli("batch", "cancel", BATCH, "--json")
    assert json.loads(given.stdout)["status"] == "cancelling"


@pytest.mark.parametrize(
    ("part", "entry", "row"),
    [
        ("gpus", GPU, "h100-80gb-sxm hopper 80 GiB 3,350 990 450 (nvlink x8) 50 h100"),
        ("models", MODEL, "llama-2-7b 6.74 B 32 - 32"),
        ("prices", PRICE, "h100-80gb-sxm a any $2.5 - 2026-11-01"),
    ],
)
def test_the_catalogue_is_listed(
    service: ScriptedService, cli: Cli, part: str, entry: dict[str, object], row: str
) -> None:
    service.on("GET", f"/catalog/{part}", answer([entry]))
    given = cli("catalog", part)
    assert given.exit_code == 0
    assert given.stdout.splitlines()[1].split() == row.split()
    assert json.loads(cli("catalog", part, "--json").stdout) == [entry]
