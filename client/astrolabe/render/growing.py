"""An episode while it grows: its tree so far, layer by layer, the votes and what was spent, from its events alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree as RichTree

from astrolabe.render.console import first_line, line, shown, styled
from astrolabe.render.units import money

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from astrolabe.models import Event

STATUS_STYLES = {"succeeded": "green", "acted": "green", "queued": "dim", "generated": "cyan"}
_FAILED_STYLE = "red"
_SPENT = ("llm_calls", "programs", "tokens")


def status_style(status: str) -> str:
    """How a node's status is coloured."""
    return STATUS_STYLES.get(status, _FAILED_STYLE)


@dataclass(slots=True)
class Growing:
    """Told of each event in order; drawn at any time. Events that lack what they should have draw less, never fail."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    planned: Counter[int] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    votes: Mapping[str, Any] = field(default_factory=dict)
    spent: Mapping[str, Any] = field(default_factory=dict)

    def see(self, event: Event) -> None:
        """Take an event in."""
        data = event.data
        if event.type in {"node.generated", "node.finished"} and isinstance(path := data.get("path"), str):
            self.nodes[path] = {**data, "status": str(data.get("status") or "unknown")}
        elif event.type == "layer.started" and isinstance(layer := data.get("layer"), int):
            count = data.get("nodes")
            self.planned[layer] = count if isinstance(count, int) else 0
        elif event.type == "tool.called":
            self.calls[str(data.get("path"))] += 1
        elif event.type == "vote.updated":
            self.votes = data
        elif event.type == "budget.updated":
            self.spent = data

    def __rich__(self) -> RenderableType:
        """The votes and the sums first: where the tree is taller than the terminal, its end is what is cut."""
        if not self.planned and not self.nodes:
            return Text("")
        parts: list[RenderableType] = [self._sums()]
        if votes := _votes(self.votes):
            parts.append(Text(votes))
        return Group(*parts, *self._trees())

    def _sums(self) -> Text:
        by_status = Counter(node["status"] for node in self.nodes.values())
        layer = max(self.planned, default=1)
        waiting = self.planned[layer] - sum(path.count(".") + 1 == layer for path in self.nodes)
        counts = [f"{count} {line(status)}" for status, count in sorted(by_status.items())]
        if waiting > 0:
            counts.append(f"{waiting} being written")
        spent = _spending(self.spent)
        return styled((f"layer {layer}: ", "bold"), ", ".join(counts), (f"; {spent}" if spent else "", "dim"))

    def _trees(self) -> list[RichTree]:
        roots: list[RichTree] = []
        branches: dict[str, RichTree] = {}
        for path in sorted(self.nodes, key=_order):
            home = branches.get(path.rpartition(".")[0])
            label = self._label(path)
            branches[path] = home.add(label) if home else RichTree(label)
            if home is None:
                roots.append(branches[path])
        return roots

    def _label(self, path: str) -> Text:
        node = self.nodes[path]
        status = node["status"]
        label = styled((line(path), "bold"), " ", (line(status), status_style(status)))
        label.append(f" {line(str(node.get('model') or ''))}", "dim")
        if self.calls[path]:
            label.append(f" {self.calls[path]} tool calls", "dim")
        label.append(_ending(node))
        label.no_wrap, label.overflow = True, "ellipsis"
        return label


def described(event: Event) -> str:
    """One line on an event of an episode; empty for what is not worth one."""
    return _LINES.get(event.type, _nothing)(event.data)


def _nothing(data: Mapping[str, Any]) -> str:
    del data
    return ""


def _finished(data: Mapping[str, Any]) -> str:
    return line(f"node {_said(data, 'path')} {_said(data, 'status')}{_ending(data)}")


def _ending(data: Mapping[str, Any]) -> str:
    if data.get("status") == "succeeded":
        return f" = {shown(data.get('answer'))}"
    error = first_line(_said(data, "error"))
    return f": {error}" if error else ""


def _layer(data: Mapping[str, Any]) -> str:
    return line(f"layer {_said(data, 'layer')}: {_said(data, 'nodes')} programs")


def _called(data: Mapping[str, Any]) -> str:
    error = first_line(_said(data, "error"))
    return line(f"node {_said(data, 'path')} called {_said(data, 'function')}{f': {error}' if error else ''}")


def _votes(data: Mapping[str, Any]) -> str:
    """Such as ``votes: 42 (3), 41 (1)``."""
    given = data.get("votes")
    votes = [vote for vote in given if isinstance(vote, dict)] if isinstance(given, list) else []
    clusters = ", ".join(f"{shown(vote.get('answer'))} ({_said(vote, 'count')})" for vote in votes)
    return line(f"votes: {clusters}") if clusters else ""


def _spending(data: Mapping[str, Any]) -> str:
    """Such as ``spent: 5 llm calls, 4 programs, 4,000 tokens, $0.02``; empty when nothing is known."""
    sums = [f"{data[name]:,} {name.replace('_', ' ')}" for name in _SPENT if isinstance(data.get(name), int)]
    if isinstance(usd := data.get("money_usd"), int | float):
        sums.append(money(usd))
    return f"spent: {', '.join(sums)}" if sums else ""


def _said(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return "" if value is None else str(value)


_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "layer.started": _layer,
    "node.finished": _finished,
    "tool.called": _called,
    "vote.updated": _votes,
    "budget.updated": _spending,
}


def _order(path: str) -> tuple[tuple[int, str], ...]:
    """Depth first, by number; whatever is no number comes after all that are."""
    return tuple((int(step), "") if step.isascii() and step.isdigit() else (1 << 62, step) for step in path.split("."))
