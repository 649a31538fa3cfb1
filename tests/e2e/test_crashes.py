"""Kill -9 in the middle of the work: the job finishes, nothing is done twice, no reply is paid for twice."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from tests.e2e.test_plans import question
from tests.support.llm_server import node_of, program, says
from tests.support.scripted_http import Answer, Asked, ScriptedServer
from tests.support.stack import Stack, events_of, follow

from codetree.llm.openai_compatible import TOOL_HEADER

LONG_SEARCH = question(count=1024) | {
    "model": {"preset": "gpt-3-175b"},
    "workload": {"global_batch_size": 1536, "sequence_length": 2048},
    "search": {"method": "exhaustive"},
}
ENDS = {"job.succeeded", "job.failed", "job.cancelled"}


def until(client: httpx.Client, path: str, wanted: str) -> None:
    """Follow the job until an event of this kind."""
    for _, kind, _ in follow(client, path):
        if kind == wanted:
            return
    raise AssertionError(f"the job ended before {wanted}")


def story_of(client: httpx.Client, path: str) -> tuple[dict[str, Any], list[str]]:
    job: dict[str, Any] = client.get(path, params={"wait": 60}).json()
    return job, [kind for _, kind, _ in events_of(client, path)]


@pytest.mark.parametrize("whole", [True, False], ids=["whole-worker", "child"])
def test_a_search_survives_its_worker(stack: Stack, planner: httpx.Client, whole: bool) -> None:
    body = LONG_SEARCH | {"search": {"method": "exhaustive", "top_k": 7 + whole}}
    path = planner.post("/plans", json=body).headers["location"]
    until(planner, path, "job.progress")
    if whole:
        stack.restart("planner-worker")
    else:
        stack.kill_children("planner-worker")
    job, story = story_of(planner, path)
    assert job["status"] == "succeeded", job["error"]
    assert job["attempt"] == 2
    assert story.count("job.started") == 2
    assert story.count("job.requeued") == 1
    assert [kind for kind in story if kind in ENDS] == ["job.succeeded"]


def test_a_search_is_cancelled_while_it_runs(planner: httpx.Client) -> None:
    path = planner.post("/plans", json=LONG_SEARCH | {"search": {"method": "exhaustive", "top_k": 9}}).headers[
        "location"
    ]
    until(planner, path, "job.progress")
    assert planner.post(f"{path}/cancel").status_code == 202
    job, story = story_of(planner, path)
    assert job["status"] == "cancelled"
    assert [kind for kind in story if kind in ENDS] == ["job.cancelled"]
    assert planner.post(f"{path}/cancel").status_code == 202, "a second cancel changes nothing"


def test_an_episode_survives_its_worker_and_pays_for_no_reply_twice(
    stack: Stack, codetree: httpx.Client, model: ScriptedServer
) -> None:
    """Killed while programs run: every reply is in the journal, so none is asked for again."""
    running, killed = threading.Event(), threading.Event()
    programs = dict.fromkeys(("1", "2"), "raise KeyError('leg')") | {"3": "final_answer(7)"}
    model.script = lambda asked: says(program(programs.get(node_of(asked)[0], "final_answer(wait())")))

    def wait(_: Asked) -> Answer:
        running.set()
        assert killed.wait(60)
        return Answer.json({"result": 7})

    with ScriptedServer(wait) as gate:
        tool = {"name": "wait", "description": "Waits.", "url": gate.url, "parameters": {"type": "object"}}
        policy = {"kind": "tree", "branching": 2, "program_wall_seconds": 60}
        path = codetree.post("/solve", json={"task": "how many?", "tools": [tool], "policy": policy}).headers[
            "location"
        ]
        generated: set[str] = set()
        for _, kind, data in follow(codetree, path):
            if kind == "node.generated":
                generated.add(data["path"])
            if generated >= {"1.1", "1.2", "2.1", "2.2"}:
                break
        assert running.wait(60)
        stack.kill("codetree-worker")
        killed.set()
        stack.start("codetree-worker")
        job, story = story_of(codetree, path)
    assert job["status"] == "succeeded", job["error"]
    assert job["answer"] == 7
    assert job["attempt"] == 2
    assert [kind for kind in story if kind in ENDS] == ["job.succeeded"]
    paths = {node["path"] for node in job["tree"]["nodes"]}
    assert paths == {"1", "2", "3", "1.1", "1.2", "2.1", "2.2"}
    assert model.counts == dict.fromkeys((f"{node}/1" for node in paths), 1), "each reply was asked for once"
    assert job["usage"]["llm_calls"] == len(paths)
    for once in ("episode.started", "episode.finished"):
        assert story.count(once) == 1


def test_only_the_reply_in_flight_is_asked_for_again(
    stack: Stack, codetree: httpx.Client, model: ScriptedServer
) -> None:
    """Killed while a model writes: what had arrived is kept, what had not is asked for again."""
    killed = threading.Event()
    waiting = threading.Event()

    def script(asked: Asked) -> Answer:
        if node_of(asked)[0] == "2" and not killed.is_set():
            waiting.set()
            killed.wait(60)
        return says(program("final_answer(7)"))

    model.script = script
    path = codetree.post("/solve", json={"task": "how many?"}).headers["location"]
    finished: set[str] = set()
    for _, kind, data in follow(codetree, path):
        if kind == "node.finished":
            finished.add(data["path"])
        if finished == {"1", "3"}:
            break
    assert waiting.wait(60)
    stack.kill("codetree-worker")
    killed.set()
    stack.start("codetree-worker")
    job, story = story_of(codetree, path)
    assert (job["status"], job["answer"]) == ("succeeded", 7)
    assert model.counts == {"1/1": 1, "2/1": 2, "3/1": 1}
    finishes = [data["path"] for _, kind, data in events_of(codetree, path) if kind == "node.finished"]
    assert sorted(finishes) == ["1", "2", "3"]
    assert "job.requeued" in story


def test_an_episode_waits_for_a_sandbox_that_restarts(
    stack: Stack, codetree: httpx.Client, model: ScriptedServer
) -> None:
    model.script = lambda _: says(program("final_answer(7)"))
    stack.kill("sandbox")
    path = codetree.post("/solve", json={"task": "how many?"}).headers["location"]
    until(codetree, path, "node.generated")
    stack.start("sandbox")
    stack.wait_ready()
    job, _ = story_of(codetree, path)
    assert (job["status"], job["answer"]) == ("succeeded", 7)


TWO_QUESTIONS = "final_answer([ask_llm('one'), ask_llm('two')])"
ASKING = {"task": "ask", "tools": [{"builtin": "llm"}], "policy": {"kind": "program"}, "limits": {"llm_calls": 6}}


@pytest.mark.parametrize("part", ["codetree-worker", "sandbox"])
def test_a_program_that_is_cut_off_while_it_asks_is_told_again_what_it_was_told(
    stack: Stack, codetree: httpx.Client, model: ScriptedServer, part: str
) -> None:
    """Killed at the second question: the first is not asked again, and the sandbox's death costs no call at all."""
    second, killed = threading.Event(), threading.Event()
    questions: list[str] = []

    def script(asked: Asked) -> Answer:
        if TOOL_HEADER not in asked.headers:
            return says(program(TWO_QUESTIONS))
        question = asked.body["messages"][0]["content"]
        questions.append(question)
        if question == "two" and not killed.is_set():
            second.set()
            assert killed.wait(30)
        return says(question.upper())

    model.script = script
    path = codetree.post("/solve", json=ASKING).headers["location"]
    assert second.wait(30)
    stack.restart(part)
    killed.set()
    job, story = story_of(codetree, path)
    assert job["answer"] == ["ONE", "TWO"], job
    assert questions == (["one", "two", "two"] if part == "codetree-worker" else ["one", "two"])
    assert job["usage"]["llm_calls"] == 3
    assert [kind for kind in story if kind in ENDS] == ["job.succeeded"]
    assert story.count("tool.called") == 2


def test_a_job_accepted_while_relay_and_worker_are_away_is_done_when_they_are_back(
    stack: Stack, planner: httpx.Client
) -> None:
    stack.kill("relay")
    stack.kill("planner-worker")
    path = planner.post("/plans", json=question(count=256)).headers["location"]
    assert planner.get(path).json()["status"] == "queued"
    stack.start("planner-worker")
    stack.start("relay")
    job, _ = story_of(planner, path)
    assert job["status"] == "succeeded"
