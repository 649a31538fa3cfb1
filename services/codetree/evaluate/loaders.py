"""Suites from the JSON files in which M3ToolEval and API-Bank level-3 are described as data.

Their tools are written anew from their described behaviour (``m3tools``), or answer from the recorded calls.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from codetree.evaluate.suite import Row, SourceTool, Suite, SuiteError, SuiteTask, TableTool, Toolset
from codetree.schemas.requests import AnswerFormatRequest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

M3TOOLEVAL, APIBANK = "M3ToolEval", "API-Bank level-3"
_FIXTURES = "m3tooleval_fixtures.json"
_M3_TYPES = {"string": "string", "integer": "number", "float": "number", "boolean": "boolean"}
_M3_SOURCES = {
    "message_decoder": ["message_decoder"],
    "dna_sequencer": ["dna_sequencer"],
    "trade_calculator": ["trade_calculator", "calculator"],
    "travel_itinerary_planning": ["travel_itinerary_planning"],
    "web_browsing": ["web_browsing", "calculator"],
}
_APIBANK_HOW = (
    "Call the functions that this takes, in a sensible order. Answer with the list of the values that those calls "
    "returned, in the order of the calls, each exactly as it was returned."
)


def convert(document: Mapping[str, Any], file: Path) -> Suite:
    """The suite in ``document``, read from ``file``; M3ToolEval's tables lie beside it. Raises ``SuiteError``."""
    if document["dataset"] == M3TOOLEVAL:
        try:
            fixtures = json.loads((file.parent / _FIXTURES).read_text(encoding="utf-8"))
        except OSError as error:
            raise SuiteError(f"{file}: its tables are missing: {_FIXTURES}: {error.strerror}") from error
        return m3tooleval(document, fixtures)
    if str(document["dataset"]).startswith(APIBANK):
        return apibank(document)
    raise SuiteError(f"{file}: no loader knows the dataset {document['dataset']!r}")


def m3tooleval(document: Mapping[str, Any], fixtures: Mapping[str, Any]) -> Suite:
    """M3ToolEval (arXiv 2402.01030)."""
    tables = _m3_tables(fixtures)
    toolsets = {
        family: Toolset(sources=[_m3_source(name, tables.get(name, "")) for name in names])
        for family, names in _M3_SOURCES.items()
    }
    return Suite(
        name="m3tooleval",
        title=f"M3ToolEval, {len(document['tasks'])} tasks",
        origin=f"{document['upstream']} at {document['commit']}; {document['paper']}",
        licence=document["licence"],
        notice=document["copyright"],
        toolsets=toolsets,
        tasks=[_m3_task(task) for task in document["tasks"]],
    )


def _m3_tables(fixtures: Mapping[str, Any]) -> dict[str, str]:
    travel, web = fixtures["travel"], fixtures["web"]
    places = sorted(place.replace('"', "") for place in travel["locations"])
    pages = {page["name"]: page["content"] for page in web["pages"]}
    return {
        "travel_itinerary_planning": (
            f"\n_FLIGHTS = {travel['flights']!r}\n_HOTELS = {travel['hotels']!r}\n_LOCATIONS = {places!r}\n"
        ),
        "web_browsing": f"\n_PAGES = {pages!r}\n",
    }


def _m3_source(name: str, tables: str) -> SourceTool:
    source = (resources.files("codetree.evaluate") / "m3tools" / f"{name}.py").read_text(encoding="utf-8")
    return SourceTool(name=name, description=f"Functions for {name.replace('_', ' ')}.", source=source + tables)


def _m3_task(task: Mapping[str, Any]) -> SuiteTask:
    family = "dna_sequencer" if "dna" in task["family"] else task["family"]
    return SuiteTask(
        id=task["id"],
        family=family,
        toolset=family,
        task=task["instruction"].strip(),
        expected=task["expected_output"],
        expected_repr=task["expected_repr"],
        tolerance=task["suggested_abs_tolerance"] or 1e-6,
        answer_format=AnswerFormatRequest(type=_M3_TYPES.get(task["expected_type"], "json")),  # type: ignore[arg-type]
        solution=task.get("solution"),
        defect=task["defect"],
    )


def apibank(document: Mapping[str, Any]) -> Suite:
    """API-Bank level-3 (arXiv 2304.08244): every tool is a table of the recorded calls.

    A tool that only ever reported success does so for any arguments, as a message may be worded in many ways.
    """
    rows: dict[str, list[Row]] = {name: [] for name in document["tools"]}
    for task in document["tasks"]:
        for call in task["expected_calls"]:
            rows[call["api"]].append(Row(input=call["input"], output=call["output"]))
    tables = [_apibank_tool(tool, rows[name]) for name, tool in document["tools"].items()]
    return Suite(
        name="apibank_level3",
        title=f"API-Bank level-3, {len(document['tasks'])} tasks",
        origin=f"{document['upstream']}, {document['path']} at {document['commit']}; {document['paper']}",
        licence="Apache-2.0",
        notice=document["licence"],
        toolsets={"apis": Toolset(tables=tables)},
        tasks=[_apibank_task(task) for task in document["tasks"]],
    )


def _apibank_tool(tool: Mapping[str, Any], rows: list[Row]) -> TableTool:
    arguments = "; ".join(
        f"{name} ({of['type']}): {of['description']}" for name, of in tool["input_parameters"].items()
    )
    only_success = bool(rows) and all(row.output in ("success", {"status": "success"}) for row in rows)
    return TableTool(
        name=tool["name"],
        description=f"{tool['description']} Arguments: {arguments}",
        parameters=list(tool["input_parameters"]),
        rows=rows,
        otherwise=rows[0].output if only_success else None,
    )


def _apibank_task(task: Mapping[str, Any]) -> SuiteTask:
    calls = task["expected_calls"]
    called = ",\n".join(
        f"    {call['api']}({', '.join(f'{name}={value!r}' for name, value in call['input'].items())})"
        for call in calls
    )
    return SuiteTask(
        id=task["id"],
        family=task["family"],
        toolset="apis",
        task=f"{task['requirement'].strip()}\n\n{_APIBANK_HOW}",
        expected=[call["output"] for call in calls],
        compare="unordered",
        solution=f"final_answer([\n{called},\n])",
    )
