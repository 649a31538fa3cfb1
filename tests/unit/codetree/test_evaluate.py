"""Suites, scorers, contenders, statistics and reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.episodes import Lines
from typer.testing import CliRunner

from codetree.cli import app
from codetree.engine import Execution, ExecutorError, PolicyKind, Program, PromptPool, ToolHost
from codetree.evaluate.contenders import ContenderError, contenders, parse_policy
from codetree.evaluate.loaders import apibank, m3tooleval
from codetree.evaluate.plot import Bar, bar_chart
from codetree.evaluate.report import write_report
from codetree.evaluate.run import Evaluation, read_results
from codetree.evaluate.score import tolerant, upstream
from codetree.evaluate.statistics import mean, proportion
from codetree.evaluate.suite import Suite, SuiteError, SuiteTask, load_suite, suite_names
from codetree.llm import Providers
from codetree.settings import CodetreeSettings
from codetree.tools.python_source import python_tool

WORKSHOP = Path(__file__).resolve().parents[3] / "examples" / "suites" / "workshop.json"


def task(expected: Any, **fields: Any) -> SuiteTask:
    given = {"id": "t", "family": "f", "toolset": "s", "task": "?", "expected": expected, **fields}
    return SuiteTask.model_validate(given)


@pytest.mark.parametrize(
    ("name", "tasks", "families"), [("m3tooleval", 45, 5), ("apibank_level3", 25, 10), (str(WORKSHOP), 45, 8)]
)
def test_suites_come_along_with_source_and_licence(name: str, tasks: int, families: int) -> None:
    suite = load_suite(name)
    assert (len(suite.tasks), len({task.family for task in suite.tasks})) == (tasks, families)
    assert suite.origin
    assert suite.licence in {"MIT", "Apache-2.0"}
    for each in suite.tasks:
        for tool in suite.tools(each):
            assert python_tool(tool.name, tool.description, tool.source).functions
        assert each.solution


def test_an_unknown_suite_names_those_there_are() -> None:
    assert suite_names() == ["apibank_level3", "m3tooleval"]
    with pytest.raises(SuiteError, match="suites that come along: apibank_level3, m3tooleval"):
        load_suite("m3")


def test_a_wrong_suite_is_told_where(tmp_path: Path) -> None:
    file = tmp_path / "suite.json"
    file.write_text('{"name": "x", "tasks": []}')
    with pytest.raises(SuiteError, match="title: Field required"):
        load_suite(str(file))
    file.write_text('{"dataset": "Other"}')
    with pytest.raises(SuiteError, match="no loader knows the dataset 'Other'"):
        load_suite(str(file))


def test_m3tooleval_is_loaded_from_its_description(tmp_path: Path) -> None:
    document = {
        "dataset": "M3ToolEval", "upstream": "u", "commit": "c", "paper": "p", "licence": "MIT", "copyright": "(c)",
        "tasks": [{
            "id": "m3/a", "family": "cryptobotanists_plant_dna_sequencer", "instruction": " Do. ", "defect": None,
            "expected_output": [1.5], "expected_type": "list", "expected_repr": "[1.5]", "suggested_abs_tolerance": None,
        }],
    }  # fmt: skip
    fixtures = {
        "travel": {"flights": [], "hotels": [], "locations": ['"A"']},
        "web": {"pages": [{"name": "/", "content": "Hello"}]},
    }
    suite = m3tooleval(document, fixtures)
    assert (suite.tasks[0].toolset, suite.tasks[0].task, suite.notice) == ("dna_sequencer", "Do.", "(c)")
    (tmp_path / "m3tooleval.json").write_text(json.dumps(document))
    with pytest.raises(SuiteError, match="its tables are missing"):
        load_suite(str(tmp_path / "m3tooleval.json"))
    (tmp_path / "m3tooleval_fixtures.json").write_text(json.dumps(fixtures))
    assert load_suite(str(tmp_path / "m3tooleval.json")) == suite


def test_apibank_tools_answer_from_their_recorded_calls() -> None:
    document = {
        "dataset": "API-Bank level-3", "upstream": "u", "path": "f", "commit": "c", "paper": "p", "licence": "l",
        "tools": {
            "Look": {"name": "Look", "description": "Looks.", "input_parameters": {"n": {"type": "int", "description": "N."}}},
            "Send": {"name": "Send", "description": "Sends.", "input_parameters": {"text": {"type": "str", "description": "T."}}},
        },
        "tasks": [{
            "id": "a", "family": "f", "requirement": "Look at 1 and send it.",
            "expected_calls": [
                {"api": "Look", "input": {"n": "1"}, "output": {"found": 7}},
                {"api": "Send", "input": {"text": "7"}, "output": "success"},
            ],
        }],
    }  # fmt: skip
    suite = apibank(document)
    space: dict[str, Any] = {}
    exec(suite.tools(suite.tasks[0])[0].source, space)  # noqa: S102 - the suite is ours
    assert space["Look"](1) == space["Look"]("1.0") == {"found": 7}
    assert space["Send"]("anything else") == "success"
    with pytest.raises(ValueError, match="nothing is known for"):
        space["Look"](2)
    assert suite.tasks[0].expected == [{"found": 7}, "success"]


@pytest.mark.parametrize(
    ("of", "answer", "as_upstream", "as_tolerant"),
    [
        (task(1370), "1370", True, True),
        (task(82.93, tolerance=0.0051), 82.93, True, True),
        (task(237.942, tolerance=0.0051), 237.94, False, True),
        (task("Engineering"), "engineering.", False, True),
        (task("Engineering"), "Engineering", True, True),
        (task([36380.0, 48150.0], expected_repr="[36380.0, 48150.0]"), [36380, 48150], False, True),
        (task(["A", 3], expected_repr="('A', 3)"), ["A", 3], False, True),
        (task({"T": 1, "A": 2}, expected_repr="{'T': 1, 'A': 2}"), {"A": 2, "T": 1}, False, True),
        (task(expected=False, expected_repr="False"), "False", True, True),
        (task(expected=False, expected_repr="False"), 0, True, False),
        (task(161.25), 157.5, False, False),
        (task(["a", {"b": 1}], compare="unordered"), [{"b": 1}, "extra", "a"], False, True),
        (task(["a", "a"], compare="unordered"), ["a"], False, False),
    ],
)
def test_upstream_compares_as_it_does_and_tolerant_as_a_person_would(
    of: SuiteTask, answer: Any, as_upstream: bool, as_tolerant: bool
) -> None:
    assert (upstream(of, answer), tolerant(of, answer)) == (as_upstream, as_tolerant)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_no_answer_breaks_a_scorer(expected: Any, answer: Any) -> None:
    of = task(expected)
    assert tolerant(of, expected)
    assert isinstance(tolerant(of, answer), bool)
    assert isinstance(upstream(of, answer), bool)


def test_policies_are_parsed_with_their_settings() -> None:
    policy = parse_policy("tree:root_width=1,branching=2,exploration.prompts=builtin,exploration.models=false")
    assert (policy.kind, policy.root_width, policy.branching) == (PolicyKind.TREE, 1, 2)
    assert (policy.exploration.prompts, policy.exploration.models) == (PromptPool.BUILTIN, False)
    assert parse_policy("programs").root_width == 5
    assert parse_policy("codeact").max_layers == 10
    assert [each.models for each in contenders(["program"], ["a", "b+c"])] == [("a",), ("b", "c")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("forest", "'tree', 'program', 'programs', 'codeact'"),
        ("tree:width=1", "width"),
        ("tree:branching", "has no '='"),
    ],
)
def test_a_wrong_policy_is_told_why(text: str, message: str) -> None:
    with pytest.raises(ContenderError, match=message):
        parse_policy(text)


@given(st.integers(0, 200), st.integers(1, 200))
def test_an_interval_holds_its_proportion(successes: int, total: int) -> None:
    estimate = proportion(min(successes, total), total)
    assert 0 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1


def test_intervals_have_their_known_values() -> None:
    assert proportion(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert mean([1.0, 2.0, 3.0]) == pytest.approx((2.0, 0.8684, 3.1316), abs=1e-4)


def test_a_chart_is_xml_with_its_labels_escaped() -> None:
    root = fromstring(bar_chart("a < b", [Bar("x & y", 0.5, 0.2, 0.9), Bar("z", 1.0, None, None)]))  # noqa: S314 - our own
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:2] == ["a < b", "x & y"]


def tiny(tmp_path: Path) -> Evaluation:
    document = {
        "name": "tiny", "title": "Tiny", "origin": "here", "licence": "MIT", "toolsets": {"none": {}},
        "tasks": [
            {"id": name, "family": name[0], "toolset": "none", "task": f"Task {name}", "expected": "x"}
            for name in ("a1", "a2", "b1")
        ],
    }  # fmt: skip
    return Evaluation(
        Suite.model_validate(document),
        contenders(["program", "programs:count=2"], ["offline:demo"]),
        providers=Providers(CodetreeSettings()),
        new_executor=Lines,
        results=tmp_path / "results.jsonl",
    )


async def test_an_evaluation_that_was_cut_goes_on(tmp_path: Path) -> None:
    evaluation = tiny(tmp_path)
    results = await evaluation.run(jobs=2)
    assert len(results) == 6
    file = tmp_path / "results.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:4]) + lines[4][:20])
    told: list[int] = []
    again = await tiny(tmp_path).run(jobs=1, report=lambda done, _: told.append(done))
    assert told == [5, 6]
    assert [(one["task"], one["policy"], one["tokens"]) for one in again] == [
        (one["task"], one["policy"], one["tokens"]) for one in results
    ]
    assert len(read_results(file)) == 6


async def test_a_report_has_every_contender_and_family(tmp_path: Path) -> None:
    evaluation = tiny(tmp_path)
    results = await evaluation.run(jobs=2)
    write_report(tmp_path, evaluation.suite, results, note="A simulation.")
    text = (tmp_path / "report.md").read_text()
    assert "**A simulation.**" in text
    assert "`programs:count=2` | offline:demo | 3 |" in text
    rows = json.loads((tmp_path / "summary.json").read_text())["rows"]
    assert {(row["family"], row["episodes"]) for row in rows} == {("all", 3), ("a", 2), ("b", 1)}
    assert (tmp_path / "tolerant.svg").exists()


async def test_an_outage_is_no_result_and_its_episode_is_run_again(tmp_path: Path) -> None:
    class Away(Lines):
        async def execute(self, program: Program, host: ToolHost) -> Execution:
            del program, host
            raise ExecutorError("the sandbox is down")

    evaluation = tiny(tmp_path)
    evaluation._new_executor = Away
    assert await evaluation.run(jobs=2) == []
    assert len(evaluation.outages) == 6
    assert "the sandbox is down" in evaluation.outages[0]
    assert len(await tiny(tmp_path).run(jobs=2)) == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", ""], "at least one policy and one model"),
        (["--models", "offline:none"], "there is no recording 'none'"),
        (["--models", "offline:demo", "--policies", "bogus"], "policy 'bogus': Input tag 'bogus'"),
        (
            ["--models", "offline:demo", "--report", "/proc/nowhere"],
            "--report /proc/nowhere: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", "m3tooleval", "--report", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.splitlines()) == 1
