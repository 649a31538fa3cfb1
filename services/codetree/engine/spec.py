"""What an episode is asked to do."""

from __future__ import annotations

import hashlib
from dataclasses import field

from pydantic.dataclasses import dataclass

from codetree.engine.answers import AnswerFormat
from codetree.engine.budget import Limits
from codetree.engine.exploration import weighted_turn
from codetree.engine.policy import TreePolicy
from codetree.engine.tree import layer_of
from codetree.engine.values import CallKey, ModelSpec, Tool


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """A task and the means to solve it. ``concurrency`` bounds the nodes of a layer that are in flight at once."""

    task: str
    models: tuple[ModelSpec, ...]
    policy: TreePolicy = field(default_factory=TreePolicy)
    tools: tuple[Tool, ...] = ()
    limits: Limits = field(default_factory=Limits)
    answer_format: AnswerFormat = field(default_factory=AnswerFormat)
    seed: int | None = None
    concurrency: int = 8

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models: an episode needs at least one model")
        if any(model.weight <= 0 for model in self.models):
            raise ValueError("models: every weight must be above 0; leave a model out instead")
        unpriced = [model.name for model in self.models if model.price is None]
        if self.limits.money_usd is not None and unpriced:
            raise ValueError(f"limits.money_usd can't be kept: no price is known for {', '.join(unpriced)}")

    def model_for(self, path: str) -> ModelSpec:
        """Model exploration: siblings, and a parent and its children, take the models in turn, by weight."""
        if not self.policy.exploration.models:
            return self.models[0]
        index = int(path.rpartition(".")[2]) - 1
        turn = index + layer_of(path) - 1
        return self.models[weighted_turn([model.weight for model in self.models], turn)]

    def temperature_for(self, path: str) -> float | None:
        """The sampling temperature at ``path``."""
        return self.policy.exploration.temperature(path, self.policy.temperature)

    def seed_for(self, key: CallKey) -> int | None:
        """A sampling seed of its own for every call, so that siblings differ and a rerun asks the same."""
        if self.seed is None:
            return None
        name = f"{self.seed}/{key.path}/{key.turn}" + (f"/{key.tool}" if key.tool else "")
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1
