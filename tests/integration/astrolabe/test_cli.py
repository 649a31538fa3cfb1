from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.samples import CREATED, NODE, PROGRESS, STARTED, SUCCEEDED
from tests.integration.astrolabe.scripted_service import Reply, ScriptedService, answer, problem, stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.astrolabe.conftest import Cli

PLAN_EVENTS = f"{samples.PLAN_PATH}/events"
SOLVE_EVENTS = f"{samples.SOLVE_PATH}/events"
ENDED = stream(CREATED, STARTED, PROGRESS, SUCCEEDED)


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    path = tmp_path / "request.json"
    path.write_text('{"model": {"preset": "llama-2-7b"}}')
    return str(path)


def planned(service: ScriptedService, result: dict[str, Any], events: Reply = ENDED) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    service.on("GET", PLAN_EVENTS, events)
    service.on("GET", samples.PLAN_PATH, answer(result))


def solved(service: ScriptedService, result: dict[str, Any], *events: tuple[int, str, dict[str, Any]]) -> None:
    service.on("POST", "/solve", answer(samples.job("queued", samples.SOLVE_PATH), 202))
    service.on("GET", SOLVE_EVENTS, stream(CREATED, STARTED, *events, SUCCEEDED))
    service.on("GET", samples.SOLVE_PATH, answer(result))


def test_plan_waits_and_shows_the_best_plans(service: ScriptedService, cli: Cli, request_file: str) -> None:
    planned(service, samples.plan())
    result = cli("plan", request_file, "--wait")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    best = "1 TP4 PP2 DP8 mbs2 SP recompute=selective ZeRO-1 4.50 s 3,278 45.7% 41.2 of 80.0"
    assert best.split() in rows
    summary = "1,000 strategies: 300 dropped by rules, 300 over memory, 350 priced (a bound excludes the other 50); searched in 125 ms, exact."
    assert summary in result.stdout
    assert "Dropped by rule: batch 200, heads 100\n" in result.stdout
    assert result.stderr.splitlines() == ["accepted", "started (attempt 1)", "cost: 120/480 strategies", "succeeded"]


def test_a_plan_that_was_at_hand_is_shown_without_waiting(
    service: ScriptedService, cli: Cli, request_file: str
) -> None:
    service.on("POST", "/plans", answer(samples.plan(attempt=0), 202))
    result = cli("plan", request_file)
    assert result.exit_code == 0
    assert "answered from the cache" in result.stdout
    assert len(service.seen) == 1


def test_plan_without_waiting_says_how_to_go_on(service: ScriptedService, cli: Cli, request_file: str) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    result = cli("plan", request_file)
    assert result.exit_code == 0
    assert f"astrolabe jobs watch {samples.JOB}" in result.stdout
    assert f"astrolabe jobs cancel {samples.JOB}" in result.stdout


def test_json_is_the_raw_job_and_nothing_else(service: ScriptedService, cli: Cli, request_file: str) -> None:
    planned(service, samples.plan(added_later="kept"))
    result = cli("plan", request_file, "--wait", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == samples.plan(added_later="kept")
    assert result.stderr == ""


def test_a_request_is_read_from_standard_input(service: ScriptedService, cli: Cli) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    assert cli("plan", "-", stdin='{"a": 1}').exit_code == 0
    assert service.seen[0].body == {"a": 1}


def test_fields_of_a_request_are_changed_on_the_command_line(service: ScriptedService, cli: Cli) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    changes = ["--set", "cluster.count=128", "--set", "cluster.gpu=h100", "--set", "labels.run=a=b"]
    assert cli("plan", "-", *changes, stdin='{"cluster": {"gpu": "a100", "mode": "homogeneous"}}').exit_code == 0
    assert service.seen[0].body == {
        "cluster": {"gpu": "h100", "mode": "homogeneous", "count": 128},
        "labels": {"run": "a=b"},
    }


def test_a_request_is_written_on_the_command_line_alone(service: ScriptedService, cli: Cli) -> None:
    service.on("POST", "/plans", answer(samples.job("queued"), 202))
    assert cli("plan", "--set", "model.preset=llama-2-7b", "--set", "search.rules=[]").exit_code == 0
    assert service.seen[0].body == {"model": {"preset": "llama-2-7b"}, "search": {"rules": []}}


@pytest.mark.parametrize("change", ["count", "=1", "a..b=1", "a.b.c=1"])
def test_a_change_that_cannot_be_made_exits_2_with_the_remedy(cli: Cli, change: str) -> None:
    result = cli("plan", "-", "--set", change, stdin='{"a": {"b": 1}}')
    assert result.exit_code == 2
    assert "write it as path=value" in result.stderr or "a.b is 1, not an object" in result.stderr


def test_no_feasible_plan_exits_1_with_the_reason(service: ScriptedService, cli: Cli, request_file: str) -> None:
    planned(service, samples.infeasible_plan())
    result = cli("plan", request_file, "--wait")
    assert result.exit_code == 1
    assert "No strategy is feasible." in result.stdout
    assert "- none of 700 valid strategies fits in memory; remedy: use more GPUs" in result.stdout


@pytest.mark.parametrize("as_json", [[], ["--json"]])
@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_failed_exits_1(
    service: ScriptedService, cli: Cli, request_file: str, status: str, as_json: list[str]
) -> None:
    error = {"type": "x", "title": "Internal", "detail": "it broke", "errors": []} if status == "failed" else None
    planned(service, samples.job(status, error=error), stream(CREATED, (2, f"job.{status}", {})))
    result = cli("plan", request_file, "--wait", *as_json)
    assert result.exit_code == 1
    assert status in result.stdout
    assert ("it broke" in result.stdout) == (status == "failed")


def test_a_refused_request_exits_2_with_one_line_per_field(
    service: ScriptedService, cli: Cli, request_file: str
) -> None:
    error = {"field": "cluster.gpu", "message": "is unknown", "value": "a1oo", "remedy": "use a100-80gb-sxm"}
    service.on("POST", "/plans", problem(422, "invalid-request", "cluster.gpu: is unknown", [error]))
    result = cli("plan", request_file, "--wait")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Invalid request",
        '  cluster.gpu: is unknown (got "a1oo"); remedy: use a100-80gb-sxm',
    ]


def test_running_out_of_time_exits_3_and_leaves_the_job(service: ScriptedService, cli: Cli, request_file: str) -> None:
    planned(service, samples.job("running"), stream(CREATED, STARTED, end="silence"))
    result = cli("plan", request_file, "--wait", "--timeout", "0.3")
    assert result.exit_code == 3
    assert "had not ended after 0.3 s" in result.stderr
    assert f"astrolabe jobs watch {samples.JOB}" in result.stderr
    assert service.requests("POST", f"{samples.PLAN_PATH}/cancel") == []


def test_a_service_in_trouble_exits_4(service: ScriptedService, cli: Cli, request_file: str) -> None:
    service.on("POST", "/plans", problem(500, "internal", "a fault of the service"))
    result = cli("plan", request_file)
    assert result.exit_code == 4
    assert "a fault of the service" in result.stderr
    assert "request id: r-1" in result.stderr


def test_another_server_at_the_address_exits_4(service: ScriptedService, cli: Cli, request_file: str) -> None:
    service.on("POST", "/plans", Reply(200, b"<html>", {"Content-Type": "text/html"}))
    result = cli("plan", request_file)
    assert result.exit_code == 4
    assert "check ASTROLABE_PLANNER_URL" in result.stderr


def test_solve_shows_the_tree_the_vote_and_that_it_is_a_replay(service: ScriptedService, cli: Cli) -> None:
    solved(service, samples.episode())
    result = cli("solve", "--task", "How many?", "--model", "offline:demo", "--wait")
    assert result.exit_code == 0
    assert service.seen[0].body == {"task": "How many?", "models": ["offline:demo"]}
    out = result.stdout
    assert f"Note: {samples.NOTE}" in out
    tree = [line.strip(" │├└─") for line in out.splitlines()]
    assert tree.index("1 failed offline:demo: ValueError: no route") + 1 == tree.index(
        "1.1 succeeded offline:demo = 42"
    )
    assert "second line" not in out
    assert ["2", "67%", "42", "2", "1.1"] in [line.split() for line in out.splitlines()]
    assert "Answer: 42  decided by majority (more than half of the answers agree)" in out
    assert "stopped: all_succeeded; 4 model calls; 4 programs run; about 5,120 tokens; price unknown" in out
    assert "answered by offline-replay" in out
    assert "node 1" not in result.stderr


def test_watch_shows_each_program_as_it_ends(service: ScriptedService, cli: Cli) -> None:
    solved(service, samples.episode(), NODE)
    result = cli("solve", "--task", "How many?", "--watch")
    assert result.exit_code == 0
    assert "node 1 failed: ValueError: no route" in result.stderr.splitlines()


def test_an_episode_without_an_answer_exits_1_and_shows_its_tree(service: ScriptedService, cli: Cli) -> None:
    solved(service, samples.failed_episode())
    result = cli("solve", "--task", "How many?", "--wait")
    assert result.exit_code == 1
    assert "Error: none of 1 programs ran" in result.stdout
    assert "1 failed offline:demo: ValueError: no route" in result.stdout
    assert "No answer; the best attempt is node 1" in result.stdout


@pytest.mark.parametrize("arguments", [["solve"], ["solve", "x.json", "--task", "t"]])
def test_solve_wants_a_request_or_a_task(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "either a request file or --task" in result.stderr


def test_foreign_text_cannot_write_to_the_terminal(service: ScriptedService, cli: Cli) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07[bold]gone\u202e\r\nmore"
    tree = {"nodes": [samples.node("1", "failed", error=evil, model=evil)]}
    solved(service, samples.episode(answer=evil, notes=[evil], tree=tree), (4, "node.finished", {"error": evil}))
    result = cli("solve", "--task", "t", "--watch")
    assert result.exit_code == 0
    assert not any(character in result.output for character in "\x1b\x07\r\u202e")
    assert "[bold]gone" in result.output


def test_estimate_shows_time_memory_and_what_does_not_fit(
    service: ScriptedService, cli: Cli, request_file: str
) -> None:
    over = {"rule": "memory", "message": "stage 0 needs 90.0 GiB", "bytes_over": 1e10, "remedy": "recompute more"}
    estimates = [samples.estimate(2.0), samples.estimate(3.0, feasible=False, reasons=[over])]
    service.on("POST", "/estimates", answer({"estimates": estimates}))
    result = cli("estimate", request_file)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["1", "2.00", "s", "3,278", "45.7%", "41.2", "of", "80.0", "yes"] in rows
    assert "1: compute 4.00 s, tp 500 ms" in result.stdout
    assert "2: stage 0 needs 90.0 GiB; remedy: recompute more" in result.stdout


def test_an_estimate_that_does_not_fit_exits_1(service: ScriptedService, cli: Cli, request_file: str) -> None:
    service.on("POST", "/estimates", answer(samples.estimate(feasible=False)))
    result = cli("estimate", request_file, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["feasible"] is False


def page(*jobs: dict[str, Any], next_cursor: str | None = None) -> Reply:
    return answer({"items": list(jobs), "next_cursor": next_cursor})


def test_jobs_of_both_services_are_listed_newest_first(service: ScriptedService, cli: Cli) -> None:
    progress = {"phase": "cost", "completed": 1000, "total": None, "unit": "strategies"}
    service.on("GET", "/plans", page(samples.job("running", created_at="2026-11-24T09:00:00Z", progress=progress)))
    service.on("GET", "/solve", page(samples.job("succeeded", samples.SOLVE_PATH)))
    result = cli("jobs", "list", "--status", "running", "--status", "succeeded", "--label", "team=nlp")
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["Id", "Service", "Status", "Created", "Took", "Details"]
    assert first.split()[1:3] == ["codetree", "succeeded"]
    assert first.split()[-3:] == ["2.50", "s", "team=nlp"]
    assert second.split()[1:3] == ["planner", "running"]
    assert "cost: 1,000 strategies" in second
    assert ("label", "team=nlp") in service.seen[0].params


def test_a_list_stops_at_its_limit(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", "/plans", page(samples.job("queued"), samples.job("failed"), next_cursor="more"))
    result = cli("jobs", "list", "--service", "planner", "--limit", "3", "--json")
    assert result.exit_code == 0
    assert [job["status"] for job in json.loads(result.stdout)["items"]] == ["queued", "failed", "queued"]
    assert len(service.seen) == 2


def test_jobs_of_one_service_are_listed_though_the_other_is_in_trouble(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", "/plans", page(samples.job("queued")))
    service.on("GET", "/solve", problem(500, "internal", "a fault of the service"))
    result = cli("jobs", "list")
    assert result.exit_code == 4
    assert samples.JOB in result.stdout
    assert "a fault of the service" in result.stderr


def test_a_job_is_found_in_whichever_service_has_it(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", samples.PLAN_PATH, problem(404, "not-found", "no such job"))
    service.on("GET", samples.SOLVE_PATH, answer(samples.failed_episode()))
    result = cli("jobs", "show", samples.JOB)
    assert result.exit_code == 0
    assert "failed" in result.stdout


def test_a_job_nobody_has_exits_2(cli: Cli) -> None:
    result = cli("jobs", "show", samples.JOB)
    assert result.exit_code == 2
    assert "404" in result.stderr


def test_a_job_is_watched_to_its_end(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")), answer(samples.plan()))
    service.on("GET", PLAN_EVENTS, ENDED)
    result = cli("jobs", "watch", samples.JOB)
    assert result.exit_code == 0
    assert "TP4 PP2 DP8" in result.stdout


def test_a_job_is_cancelled(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", samples.PLAN_PATH, answer(samples.job("running")))
    service.on("POST", f"{samples.PLAN_PATH}/cancel", answer(samples.job("cancelling"), 202))
    result = cli("jobs", "cancel", samples.JOB)
    assert result.exit_code == 0
    assert "cancelling" in result.stdout


def test_cancelling_what_has_ended_exits_2(service: ScriptedService, cli: Cli) -> None:
    service.on("GET", samples.PLAN_PATH, answer(samples.plan()))
    service.on("POST", f"{samples.PLAN_PATH}/cancel", problem(409, "already-ended", "The job has succeeded."))
    result = cli("jobs", "cancel", samples.JOB)
    assert result.exit_code == 2
    assert "The job has succeeded." in result.stderr


@pytest.mark.parametrize("arguments", [["jobs", "show", "../keys"], ["plan"], ["plan", "x", "--timeout", "-1"], ["x"]])
def test_wrong_usage_exits_2(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments).exit_code == 2


def test_an_address_that_is_none_exits_2(cli: Cli) -> None:
    result = cli("--planner-url", "localhost:8001", "jobs", "list")
    assert result.exit_code == 2
    assert "set ASTROLABE_PLANNER_URL to something like http://127.0.0.1:8001" in result.stderr
