"""``python -m codetree evaluate`` and ``simulate``."""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from codetree.assemble import sandbox_executor
from codetree.engine.budget import Limits
from codetree.evaluate.contenders import ContenderError, contenders
from codetree.evaluate.report import write_report
from codetree.evaluate.run import Evaluation, Result
from codetree.evaluate.suite import Suite, SuiteError, load_suite, suite_names
from codetree.llm.pool import PoolError
from codetree.llm.providers import Providers
from codetree.settings import CodetreeSettings
from codetree.simulate.server import make_app
from codetree.simulate.skill import PRESETS, load_skills
from kit.settings import load_settings
from kit.web.server import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codetree.evaluate.contenders import Contender

_POLICIES = "tree,programs,program,codeact"
console = Console()


def evaluate(
    suite: Annotated[str, typer.Argument(help="A suite that comes along, or a file.")],
    report: Annotated[Path, typer.Option(help="The folder of results and report; a run that was cut goes on in it.")],
    models: Annotated[str, typer.Option(help="Comma-separated; a+b is one pool of two.")],
    policies: Annotated[str, typer.Option(help="Separated by spaces or commas: kind[:setting=value,...].")] = _POLICIES,
    repeats: Annotated[int, typer.Option(min=1, help="Episodes of each task.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Episodes at once.")] = 8,
    seed: int = 0,
    max_llm_calls: Annotated[int | None, typer.Option(min=1, help="Of one episode.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Of one episode.")] = None,
    note: Annotated[str, typer.Option(help="Printed at the head of the report.")] = "",
) -> None:
    """Measure policies and models on a suite, and write a report."""
    try:
        chosen = load_suite(suite)
        fields = contenders(_split(policies), [name for name in models.split(",") if name])
        if not fields:
            _fail("name at least one policy and one model: --policies tree --models NAME")
        limits = Limits(llm_calls=max_llm_calls, tokens=max_tokens)
        report.mkdir(parents=True, exist_ok=True)
        results, outages = asyncio.run(_evaluate(chosen, fields, report, repeats, jobs, seed, limits))
    except (SuiteError, ContenderError, PoolError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"--report {report}: {error.strerror}")
    if not results:
        _fail(f"no episode came to an end; the first said: {outages[0]}")
    simulated = any("simulated" in name for contender in fields for name in contender.models)
    notes = [note or ("Simulated models: no figure here is a real model's." if simulated else "")]
    if outages:
        notes.append(f"Incomplete: an outage cut {len(outages)} episodes off.")
    write_report(report, chosen, results, note=" ".join(filter(None, notes)))
    console.print(f"{report / 'report.md'}", style="bold", markup=False, soft_wrap=True)
    if outages:
        _fail(f"an outage cut {len(outages)} episodes off; run the same command again. The first said: {outages[0]}")


def _split(policies: str) -> list[str]:
    """Policies are separated by spaces, or by commas when none has settings of its own."""
    return policies.split() if " " in policies or ":" in policies else policies.split(",")


async def _evaluate(
    suite: Suite, fields: Sequence[Contender], report: Path, repeats: int, jobs: int, seed: int, limits: Limits
) -> tuple[list[Result], list[str]]:
    settings = load_settings(CodetreeSettings)
    async with Providers(settings) as providers:
        evaluation = Evaluation(
            suite,
            fields,
            providers=providers,
            new_executor=lambda: sandbox_executor(settings, owner="evaluation"),
            results=report / "results.jsonl",
            repeats=repeats,
            seed=seed,
            limits=limits,
        )
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task(suite.name)
            results = await evaluation.run(jobs, lambda done, total: progress.update(bar, completed=done, total=total))
            return results, evaluation.outages


def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8010,
    host: str = "127.0.0.1",
    skills: Annotated[Path | None, typer.Option(help="A TOML file with a table of chances for each model.")] = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="Suites the models can solve; by default all that come along.")
    ] = None,
    latency_seconds: Annotated[float | None, typer.Option(min=0, help="Before each reply, for every model.")] = None,
    seed: int = 0,
) -> None:
    """Serve simulated models to OpenAI clients. Whatever they yield is a simulation."""
    try:
        able = PRESETS if skills is None else load_skills(skills)
        suites = [load_suite(name) for name in suite or suite_names()]
    except (SuiteError, OSError, ValueError, ValidationError) as error:
        _fail(str(error))
    if latency_seconds is not None:
        able = {name: skill.model_copy(update={"latency_seconds": latency_seconds}) for name, skill in able.items()}
    serve(make_app(able, suites, seed=seed), host, port)


def _fail(message: str) -> NoReturn:
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(2)
