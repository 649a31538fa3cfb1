"""Policies and exploration, as a request names them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from codetree.engine.exploration import Exploration, PromptPool
from codetree.engine.policy import Generation, TreePolicy, code_actions, many_programs, one_program
from codetree.schemas.base import Request

MAX_PROGRAMS = 512


class ExplorationRequest(Request):
    """How branches are made to differ; every lever can be turned off."""

    prompts: Literal["off", "builtin", "evolved"] = Field(
        default="off", description="variants of the prompt: none, a fixed list, or written by the model (costs calls)"
    )
    prompt_count: int = Field(default=3, ge=1, le=5)
    models: bool = Field(default=True, description="false: every node asks the first model")
    temperatures: list[Annotated[float, Field(ge=0, le=2)]] = Field(
        default=[], max_length=8, description="of layers 1, 2, ...; the last holds for all deeper; empty: `temperature`"
    )

    def to_exploration(self) -> Exploration:
        """The engine's levers."""
        return Exploration(PromptPool(self.prompts), self.prompt_count, self.models, tuple(self.temperatures))


class _Generation(Request):
    temperature: float | None = Field(default=0.7, ge=0, le=2, description="null: the endpoint's own default")
    max_output_tokens: int = Field(default=2048, ge=64, le=32_768, description="of one reply")
    program_wall_seconds: float = Field(default=30.0, gt=0, le=120, description="of one program")
    exploration: ExplorationRequest = ExplorationRequest()

    def _generation(self) -> Generation:
        return {
            "temperature": self.temperature,
            "max_output_tokens": self.max_output_tokens,
            "program_wall_seconds": self.program_wall_seconds,
            "exploration": self.exploration.to_exploration(),
        }


class TreePolicyRequest(_Generation):
    """Breadth-first growth of failed programs, layer by layer, and a majority vote."""

    kind: Literal["tree"]
    root_width: int = Field(default=3, ge=1, le=32)
    branching: int = Field(default=3, ge=1, le=8)
    max_layers: int = Field(default=3, ge=1, le=6)
    quorum: int | None = Field(default=None, ge=1, le=64, description="stop once so many programs agree")
    deduplicate: bool = Field(default=True, description="don't run a program that equals an earlier one")
    expand_duplicates: bool = Field(default=True, description="give failed duplicates children of their own")

    @model_validator(mode="after")
    def _tree_is_bounded(self) -> Self:
        programs = self.to_policy().max_programs
        if programs > MAX_PROGRAMS:
            raise PydanticCustomError(
                "tree_too_large",
                "root_width, branching and max_layers allow {programs} programs, more than {most}",
                {"programs": programs, "most": MAX_PROGRAMS, "remedy": "lower max_layers or branching"},
            )
        return self

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return TreePolicy(
            root_width=self.root_width,
            branching=self.branching,
            max_layers=self.max_layers,
            quorum=self.quorum,
            deduplicate=self.deduplicate,
            expand_duplicates=self.expand_duplicates,
            **self._generation(),
        )


class ProgramPolicyRequest(_Generation):
    """One program, one turn."""

    kind: Literal["program"]

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return one_program(**self._generation())


class ProgramsPolicyRequest(_Generation):
    """Independent programs and a vote."""

    kind: Literal["programs"]
    count: int = Field(ge=1, le=64)

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return many_programs(self.count, **self._generation())


class CodeActPolicyRequest(_Generation):
    """Short actions in one interpreter that keeps its state, each seeing what the ones before printed."""

    kind: Literal["codeact"]
    max_turns: int = Field(default=10, ge=1, le=32)

    def to_policy(self) -> TreePolicy:
        """The engine's policy."""
        return code_actions(self.max_turns, **self._generation())


PolicyRequest = Annotated[
    TreePolicyRequest | ProgramPolicyRequest | ProgramsPolicyRequest | CodeActPolicyRequest,
    Field(discriminator="kind"),
]
