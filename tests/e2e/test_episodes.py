"""Codetree as its users see it, over HTTP, with the real worker and the real jail behind it."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

import httpx
from tests.support.launcher import CHECKOUT
from tests.support.llm_server import node_of, program, says
from tests.support.scripted_http import Answer, Asked, ScriptedServer
from tests.support.stack import Stack, events_of, follow, running_stack

from codetree.llm.openai_compatible import TOOL_HEADER

CHEAPEST = """
model, workload = {"preset": "llama-3-70b"}, {
    "global_batch_size": 1024, "sequence_length": 8192, "tokens": 1e12, "precision": "bf16"
}
cluster = {"mode": "cost", "gpus": ["h100-80gb-sxm"], "max_count": 1024, "deadline_hours": 720}
found = plan(model, workload, cluster)
options = [option for option in found["frontier"] if option["cost"]["hours"] <= 720]
best = min(options, key=lambda option: option["cost"]["usd"])
checked = estimate(model, workload, {"mode": "homogeneous", "gpu": best["gpu"], "count": best["gpus"]},
                   [best["strategy"]])
assert abs(checked[0]["iteration_seconds"] / best["estimate"]["iteration_seconds"] - 1) < 1e-6, checked
final_answer({"gpu": best["gpu"], "count": best["gpus"], "usd": best["cost"]["usd"], "hours": best["cost"]["hours"]})
"""


def solved(codetree: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    accepted = codetree.post("/solve", json=body)
    assert accepted.status_code == 202, accepted.text
    job: dict[str, Any] = codetree.get(accepted.headers["location"], params={"wait": 60}).json()
    return job


def test_the_recorded_episode_runs_for_real_and_says_that_it_is_a_replay(codetree: httpx.Client) -> None:
    job = solved(codetree, json.loads((CHECKOUT / "examples" / "solve.json").read_text()))
    assert job["status"] == "succeeded", job["error"]
    assert (job["answer"], job["decided_by"]) == (1212.0, "majority")
    assert [vote["count"] for vote in job["votes"]] == [5, 1]
    assert job["providers"] == ["offline-replay"]
    assert job["notes"]
    tree = codetree.get(f"/solve/{job['id']}/tree")
    assert tree.json() == job["tree"]
    assert codetree.get(f"/solve/{job['id']}/tree", headers={"If-None-Match": tree.headers["etag"]}).status_code == 304


def test_a_child_is_told_what_went_wrong(codetree: httpx.Client, model: ScriptedServer) -> None:
    def script(asked: Asked) -> Answer:
        path, _ = node_of(asked)
        return says(program("{}['leg']" if path == "1" else "final_answer('ok')"))

    model.script = script
    job = solved(codetree, {"task": "which leg?", "policy": {"kind": "tree", "root_width": 1, "branching": 2}})
    assert (job["answer"], job["stop_reason"]) == ("ok", "all_succeeded")
    child = next(asked for asked in model.asked if node_of(asked)[0] == "1.1")
    prompt = json.dumps(child.body["messages"])
    assert "KeyError" in prompt
    assert "{}['leg']" in prompt


def test_no_answer_is_an_honest_failure_that_shows_the_best_attempt(
    codetree: httpx.Client, model: ScriptedServer
) -> None:
    model.script = lambda _: says(program("print('almost')"))
    job = solved(codetree, {"task": "x", "policy": {"kind": "tree", "root_width": 1, "branching": 1, "max_layers": 2}})
    assert job["status"] == "failed"
    assert job["error"]["type"] == "urn:astrolabe:problem:no-answer"
    assert job["answer"] is None
    assert (job["stop_reason"], job["best_attempt"]) == ("layers_exhausted", "1.1")
    assert len(job["tree"]["nodes"]) == 2
    kinds = [kind for _, kind, _ in events_of(codetree, f"/solve/{job['id']}")]
    assert kinds[-1] == "job.failed"


def test_a_budget_is_kept(codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("1 / 0"))
    job = solved(codetree, {"task": "x", "limits": {"llm_calls": 4}})
    assert job["stop_reason"] == "budget_llm_calls"
    assert job["usage"]["llm_calls"] <= 4
    assert sum(model.counts.values()) <= 4


def test_an_episode_is_cancelled_while_a_program_runs(codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("import time\ntime.sleep(25)"))
    path = codetree.post("/solve", json={"task": "x"}).headers["location"]
    next(kind for _, kind, _ in follow(codetree, path) if kind == "node.generated")
    assert codetree.post(f"{path}/cancel").json()["status"] == "cancelling"
    assert codetree.get(path, params={"wait": 20}).json()["status"] == "cancelled"


def test_no_endpoint_and_none_asked_for_is_a_clear_error(database_url: str, redis_url: str) -> None:
    with running_stack(database_url, redis_url, only=("codetree",)) as bare, bare.client("codetree") as codetree:
        answer = codetree.post("/solve", json={"task": "x"})
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert error["field"] == "models"
    assert "ASTROLABE_LLM_BASE_URL" in error["message"]


def test_episodes_are_exported_one_by_one_and_together_with_a_manifest(
    codetree: httpx.Client, model: ScriptedServer
) -> None:
    def script(asked: Asked) -> Answer:
        return says(program(f"final_answer({node_of(asked)[0]!r}[0])" if node_of(asked)[0] != "1" else "1 / 0"))

    model.script = script
    labels = {"campaign": "exports", "gold": "1"}
    job = solved(codetree, {"task": "export me", "labels": labels, "policy": {"kind": "tree", "max_layers": 2}})
    one = codetree.get(f"/solve/{job['id']}/exports/sft", params={"label_source": "gold"})
    rows = [json.loads(line) for line in one.text.splitlines()]
    assert {row["metadata"]["node"][0] for row in rows} == {"1"}
    query = {"label": "campaign=exports"}
    for kind in ("sft", "preference", "kto", "rl", "atif"):
        together = codetree.get(f"/solve/exports/{kind}", params=query)
        described = codetree.get(f"/solve/exports/{kind}/manifest", params=query).json()
        assert together.headers["content-type"].startswith("application/jsonl")
        assert described["sha256"] == hashlib.sha256(together.content).hexdigest()
        assert described["records"] == len(together.text.splitlines()) > 0
    by_id = {"id": [job["id"]], "since": job["created_at"]}
    assert codetree.get("/solve/exports/sft", params={**by_id, "label_source": "gold"}).text == one.text
    for without in ({"until": job["created_at"], **query}, {"batch": job["id"]}, {"id": [str(UUID(int=1))]}):
        assert codetree.get("/solve/exports/sft", params=without).content == b""
    wrong = codetree.get("/solve/exports/sft", params={"since": "yesterday"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "since")
    nothing = codetree.get("/solve/exports/sft", params={"label": "campaign=none"})
    assert (nothing.status_code, nothing.content) == (200, b"")


def test_codeact_acts_in_one_interpreter(codetree: httpx.Client, model: ScriptedServer) -> None:
    steps = ["seen = 41", "print(seen + 1)", "final_answer(seen + 1)"]
    model.script = lambda asked: says(program(steps[node_of(asked)[0].count(".")]))
    job = solved(codetree, {"task": "count", "policy": {"kind": "codeact", "max_turns": 5}})
    assert (job["answer"], job["stop_reason"]) == (42, "all_succeeded")
    assert [node["status"] for node in job["tree"]["nodes"]] == ["acted", "acted", "succeeded"]
    last = next(asked for asked in model.asked if node_of(asked)[0] == "1.1.1")
    assert "\n42\n" in last.body["messages"][-1]["content"]


def test_an_episode_is_replayed_bit_for_bit_and_asks_nobody(codetree: httpx.Client, model: ScriptedServer) -> None:
    def script(asked: Asked) -> Answer:
        path, turn = node_of(asked)
        if path == "2":
            return Answer.json({"error": {"message": "no"}}, 400)
        code = "import time\nfinal_answer(time.time())" if "." in path else "1 / 0"
        return says(program(code) if turn == 2 or path != "3" else "no program")

    model.script = script
    first = solved(codetree, {"task": "what time is it?", "policy": {"kind": "tree", "branching": 2}})
    asked = len(model.asked)
    accepted = codetree.post(f"/solve/{first['id']}/replay")
    assert accepted.status_code == 202, accepted.text
    again = codetree.get(accepted.headers["location"], params={"wait": 60}).json()
    own = ("id", "links", "created_at", "started_at", "finished_at", "progress")
    assert {name: value for name, value in again.items() if name not in own} == {
        name: value for name, value in first.items() if name not in own
    }
    assert len(model.asked) == asked
    live = codetree.post(f"/solve/{first['id']}/replay", params={"mode": "else_live"})
    resumed = codetree.get(live.headers["location"], params={"wait": 60}).json()
    assert resumed["votes"] == first["votes"]
    assert {node_of(each)[0] for each in model.asked[asked:]} == {"2"}, "only what left no record is asked for"


def test_a_program_calls_a_tool_through_the_host(codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("final_answer(price('tea') * 2)"))
    with ScriptedServer(lambda _: Answer.json({"result": 21})) as shop:
        tool = {
            "name": "price",
            "description": "The price of an article.",
            "url": f"{shop.url}/price",
            "parameters": {"type": "object", "properties": {"article": {"type": "string"}}, "required": ["article"]},
        }
        job = solved(codetree, {"task": "double the price", "tools": [tool], "policy": {"kind": "program"}})
        assert job["answer"] == 42, job["tree"]
        assert shop.asked[0].body["arguments"] == {"article": "tea"}
        elsewhere = {**tool, "url": "http://10.0.0.1/price"}
        refused = codetree.post("/solve", json={"task": "x", "tools": [elsewhere]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "tools.0.url")


def test_a_program_asks_a_model_within_the_budget_and_a_replay_asks_nobody(
    codetree: httpx.Client, model: ScriptedServer
) -> None:
    code = "words = [ask_llm('Translate: ' + word) for word in ('eins', 'zwei')]\nfinal_answer(words)"

    def script(asked: Asked) -> Answer:
        if TOOL_HEADER in asked.headers:
            return says(asked.body["messages"][0]["content"].upper())
        return says(program(code))

    model.script = script
    body = {"task": "translate", "tools": [{"builtin": "llm"}], "policy": {"kind": "program"}}
    job = solved(codetree, {**body, "limits": {"llm_calls": 10}})
    assert job["answer"] == ["TRANSLATE: EINS", "TRANSLATE: ZWEI"], job
    assert job["usage"]["llm_calls"] == 3
    assert job["usage"]["tokens"] == 3 * 120
    told = [data for _, kind, data in events_of(codetree, f"/solve/{job['id']}") if kind == "tool.called"]
    assert [(data["path"], data["function"], data["tokens"]) for data in told] == [("1", "ask_llm", 120)] * 2
    accepted = codetree.post(f"/solve/{job['id']}/replay")
    again = codetree.get(accepted.headers["location"], params={"wait": 60}).json()
    assert (again["answer"], again["usage"], again["tree"]) == (job["answer"], job["usage"], job["tree"])
    assert len(model.asked) == 3
    refused = solved(codetree, {**body, "limits": {"llm_calls": 3}})
    assert "the episode's budget does not allow it: limits.llm_calls" in refused["tree"]["nodes"][0]["error"]
    assert refused["usage"]["llm_calls"] <= 3


def test_an_episode_finds_the_cheapest_way_to_train_with_the_planner(
    codetree: httpx.Client, planner: httpx.Client, model: ScriptedServer
) -> None:
    body = json.loads((CHECKOUT / "examples" / "solve-with-planner.json").read_text())
    model.script = lambda _: says(program(CHEAPEST))
    job = solved(codetree, {**body, "external_id": None, "policy": {"kind": "program", "program_wall_seconds": 120}})
    assert job["status"] == "succeeded", job["tree"]
    assert job["answer"]["hours"] <= 720
    made = planner.get("/plans", params={"label": f"episode={job['id']}"}).json()["items"]
    assert [plan["status"] for plan in made] == ["succeeded"], "searched once"
    (plan,) = [planner.get(f"/plans/{each['id']}").json() for each in made]
    cheapest = min(option["cost"]["usd"] for option in plan["frontier"] if option["cost"]["hours"] <= 720)
    assert job["answer"]["usd"] == cheapest


def test_what_the_planner_refuses_is_told_to_the_program(codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("plan({'preset': 'llama-9'}, {}, {'mode': 'homogeneous'})"))
    job = solved(codetree, {"task": "x", "tools": [{"builtin": "planner"}], "policy": {"kind": "program"}})
    error = job["tree"]["nodes"][0]["error"]
    assert "ToolError: plan: " in error
    assert "workload.global_batch_size" in error


def test_a_batch_of_tasks(codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("final_answer(7)"))
    policy = {"kind": "program"}
    tasks = [{"task": f"task {number}", "policy": policy, "external_id": f"e2e-{number}"} for number in range(4)]
    body = "\n".join(json.dumps(line) for line in [*tasks, {"task": "x", "models": ["offline:nothing"]}])
    answer = codetree.post("/batches", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 202, answer.text
    report = answer.json()
    assert (report["accepted"], report["rejected"]) == (4, 1)
    assert report["rejections"][0]["problem"]["errors"][0]["field"] == "models"
    batch = codetree.get(report["links"]["self"], params={"wait": 60}).json()
    assert batch["counts"]["succeeded"] == 4
    lines = codetree.get(report["links"]["results"]).text.splitlines()
    assert [json.loads(line)["job"]["answer"] for line in lines] == [7] * 4


def test_the_sandbox_counts_how_programs_end(stack: Stack, codetree: httpx.Client, model: ScriptedServer) -> None:
    model.script = lambda _: says(program("final_answer(7)"))
    solved(codetree, {"task": "x", "policy": {"kind": "program"}})
    with stack.client("sandbox") as sandbox:
        metrics = sandbox.get("/metrics").text
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values['astrolabe_sandbox_executions_total{status="ok"}']) >= 1


def test_a_worker_counts_what_its_episodes_spend(stack: Stack, codetree: httpx.Client, model: ScriptedServer) -> None:
    def counts() -> dict[str, float]:
        with stack.client("codetree-worker") as worker:
            assert worker.get("/livez").json()["service"] == "codetree_worker"
            lines = worker.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    expected = {
        'astrolabe_llm_calls_total{model="scripted",outcome="ok"}': 2,
        'astrolabe_llm_tokens_total{direction="input",model="scripted"}': 200,
        'astrolabe_llm_tokens_total{direction="output",model="scripted"}': 40,
        'astrolabe_nodes_total{status="succeeded"}': 2,
    }
    before = counts()
    assert solved(codetree, {"task": "x", "policy": {"kind": "programs", "count": 2}})["answer"] == 42
    after = counts()
    assert {name: after[name] - before.get(name, 0.0) for name in expected} == expected
