"""A report: accuracy, turns, tokens, money and time of each contender and family, with intervals and plots."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from codetree.evaluate.plot import Bar, bar_chart
from codetree.evaluate.statistics import Estimate, mean, proportion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from codetree.evaluate.run import Result
    from codetree.evaluate.suite import Suite

SCORERS = ("tolerant", "upstream")
_MEASURES = ("turns", "llm_calls", "programs", "tokens", "money_usd", "seconds")
ALL = "all"


def write_report(folder: Path, suite: Suite, results: Sequence[Result], *, note: str = "") -> None:
    """``summary.json``, ``report.md`` and the plots beside the results."""
    rows = summarise(results)
    document = {"suite": suite.name, "title": suite.title, "origin": suite.origin, "note": note, "rows": rows}
    (folder / "summary.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    total = [row for row in rows if row["family"] == ALL]
    for measure in (*SCORERS, "turns", "llm_calls", "tokens"):
        bars = [Bar(f"{row['policy']} · {row['models']}", *row[measure]) for row in total]
        (folder / f"{measure}.svg").write_text(bar_chart(f"{suite.title}: {measure}", bars), encoding="utf-8")
    (folder / "report.md").write_text(_markdown(suite, rows, note), encoding="utf-8")


def summarise(results: Iterable[Result]) -> list[dict[str, Any]]:
    """A row for each contender and family, and one for all families; every figure is (value, low, high)."""
    groups: defaultdict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        for family in (ALL, result["family"]):
            groups[family, result["policy"], result["models"]].append(result)
    return [_row(*key, group) for key, group in groups.items()]


def _row(family: str, policy: str, models: str, group: Sequence[Result]) -> dict[str, Any]:
    row: dict[str, Any] = {"family": family, "policy": policy, "models": models, "episodes": len(group)}
    for scorer in SCORERS:
        row[scorer] = list(proportion(sum(result[scorer] for result in group), len(group)))
    for measure in _MEASURES:
        values = [result[measure] for result in group]
        row[measure] = None if None in values else [_json(number) for number in mean(values)]
    return row


def _json(number: float) -> float | None:
    return None if math.isnan(number) else number


def _markdown(suite: Suite, rows: Sequence[dict[str, Any]], note: str) -> str:
    total = [row for row in rows if row["family"] == ALL]
    lines = [f"# {suite.title}", "", f"Source: {suite.origin}. Licence: {suite.licence}. {suite.notice}".rstrip(), ""]
    lines += [f"**{note}**", ""] if note else []
    lines += ["Intervals are 95 percent: Wilson's for accuracy, normal for means. `turns` follow one another.", ""]
    lines += _table(total)
    lines += ["", *(f"![{name}]({name}.svg)" for name in (*SCORERS, "turns", "tokens")), "", "## By family", ""]
    families = sorted({row["family"] for row in rows} - {ALL})
    lines += ["| policy | models | " + " | ".join(families) + " |", "|---" * (len(families) + 2) + "|"]
    for row in total:
        cells = [_accuracy(_find(rows, family, row)) for family in families]
        lines.append(f"| `{row['policy']}` | {row['models']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = ["policy", "models", "episodes", "tolerant", "upstream", *_MEASURES]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        cells = [f"`{row['policy']}`", row["models"], str(row["episodes"])]
        cells += [_percent(row[scorer]) for scorer in SCORERS]
        cells += [_number(row[measure]) for measure in _MEASURES]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _find(rows: Sequence[dict[str, Any]], family: str, like: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in rows if _contender(row) == _contender(like) and row["family"] == family)


def _contender(row: dict[str, Any]) -> tuple[str, str]:
    return row["policy"], row["models"]


def _accuracy(row: dict[str, Any]) -> str:
    return f"{_percent(row['tolerant'])} of {row['episodes']}"


def _percent(figure: Sequence[float]) -> str:
    estimate = Estimate(*figure)
    return f"{estimate.value:.1%} ({estimate.low:.0%}-{estimate.high:.0%})"


def _number(figure: Sequence[float | None] | None) -> str:
    if figure is None or figure[0] is None:
        return "unknown"
    value, low, high = figure
    around = "" if low is None or high is None else f" ±{(high - low) / 2:.2g}"
    return f"{value:.4g}{around}"
