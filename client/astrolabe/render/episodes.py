"""An episode: its tree of programs, the vote, and what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree as RichTree

from astrolabe.render.console import first_line, line, shown, styled, table
from astrolabe.render.growing import status_style
from astrolabe.render.units import money

if TYPE_CHECKING:
    from rich.console import Console

    from astrolabe.episodes import Episode, Node

_RULES = {
    "only_success": "the only program that reached an answer",
    "unanimity": "all answers agree",
    "majority": "more than half of the answers agree",
    "plurality": "the largest cluster of answers",
    "tie_earliest_layer": "a tie, decided by the earliest layer",
    "tie_fewest_tokens": "a tie, decided by the fewest tokens",
    "tie_node_order": "a tie, decided by the order of the nodes",
}


def print_episode(console: Console, episode: Episode) -> None:
    """The tree, the vote, the answer and what it took; that replies were replayed is said first."""
    for note in episode.notes:
        console.print(Text(f"Note: {line(note)}", style="yellow"))
    if episode.tree.nodes:
        console.print(_tree(episode))
    if episode.votes:
        _print_votes(console, episode)
    console.print(_outcome(episode))
    console.print(_footer(episode))


def _tree(episode: Episode) -> RichTree:
    nodes = episode.tree.nodes
    programs = "1 program" if len(nodes) == 1 else f"{len(nodes)} programs"
    root = RichTree(Text(f"Episode {episode.id}: {programs}"))
    branches = {"": root}
    for node in nodes:
        home = branches.get(node.parent or "", root)
        branches[node.path] = home.add(_node(node))
    return root


def _node(node: Node) -> Text:
    label = styled((node.path, "bold"), " ", (node.status, status_style(node.status)), " ", (line(node.model), "dim"))
    if node.status == "succeeded":
        label.append(f" = {shown(node.answer)}")
    elif node.error:
        label.append(f": {first_line(node.error)}")
    return label


def _print_votes(console: Console, episode: Episode) -> None:
    grid = table(console)
    grid.add_column("Votes", justify="right")
    grid.add_column("Share", justify="right")
    grid.add_column("Answer", overflow="fold")
    grid.add_column("Nodes")
    for place, vote in enumerate(episode.votes):
        style = "green" if place == 0 else ""
        grid.add_row(
            str(vote.count), f"{vote.share:.0%}", Text(shown(vote.answer)), Text(" ".join(vote.nodes)), style=style
        )
    console.print(grid)


def _outcome(episode: Episode) -> Text:
    if episode.answered:
        rule = episode.decided_by or "vote"
        why = f" ({_RULES[rule]})" if rule in _RULES else ""
        return styled(("Answer: ", "bold"), (shown(episode.answer), "bold green"), f"  decided by {rule}{why}")
    best = f"; the best attempt is node {episode.best_attempt}" if episode.best_attempt else ""
    return styled(("No answer", "bold red"), best)


def _footer(episode: Episode) -> Text:
    parts = [f"stopped: {episode.stop_reason}"] if episode.stop_reason else []
    if usage := episode.usage:
        about = "about " if usage.estimated else ""
        parts += [f"{usage.llm_calls} model calls", f"{usage.programs} programs run", f"{about}{usage.tokens:,} tokens"]
        parts.append("price unknown" if usage.money_usd is None else money(usage.money_usd))
    if episode.providers:
        parts.append(f"answered by {', '.join(map(line, episode.providers))}")
    return Text("; ".join(parts), style="dim")
