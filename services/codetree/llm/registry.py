"""The models an operator offers: endpoints, prices, limits and what each model understands, as configuration.

Secrets are named, never written: ``secret = "openai"`` is read from ``ASTROLABE_SECRET_OPENAI`` when a call is made.
"""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from codetree.engine.values import Price

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRET_PREFIX = "ASTROLABE_SECRET_"  # noqa: S105 - the name of a variable
Name = Annotated[str, StringConstraints(pattern=r"^[^\s\x00]{1,200}$")]


class RegistryError(ValueError):
    """The registry can't be used: which entry is wrong, and how."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Capabilities(_Entry):
    """What an endpoint understands; what it does not is not sent. ``n`` is never sent: siblings are calls."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    seed: bool = True
    stream: bool = False
    reasoning_content: bool = True


class Endpoint(_Entry):
    """A server that speaks OpenAI's chat completions."""

    base_url: str
    secret: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")] | None = None
    timeout_seconds: PositiveFloat = 120.0
    max_attempts: PositiveInt = Field(default=4, le=10)


class Model(_Entry):
    """One model. ``model`` is its name at the endpoint, when that differs; a price that is left out is unknown.

    ``concurrency`` and ``requests_per_minute`` hold for one worker process.
    """

    endpoint: str
    model: str | None = None
    input_usd_per_million: NonNegativeFloat | None = None
    output_usd_per_million: NonNegativeFloat | None = None
    concurrency: PositiveInt | None = None
    requests_per_minute: PositiveFloat | None = None
    capabilities: Capabilities = Capabilities()

    @property
    def price(self) -> Price | None:
        if self.input_usd_per_million is None or self.output_usd_per_million is None:
            return None
        return Price(self.input_usd_per_million, self.output_usd_per_million)


class Registry(_Entry):
    """Endpoints and models by name."""

    endpoints: dict[Name, Endpoint] = {}
    models: dict[Name, Model] = {}

    @model_validator(mode="after")
    def _endpoints_are_known(self) -> Self:
        for name, model in self.models.items():
            if model.endpoint not in self.endpoints:
                known = ", ".join(sorted(self.endpoints)) or "none"
                raise ValueError(f"models.{name}.endpoint: there is no endpoint {model.endpoint!r}; there are: {known}")
        return self


def load_registry(file: Path) -> Registry:
    """The registry in a TOML file. Raises ``RegistryError``."""
    try:
        return Registry.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise RegistryError(f"{file}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{file}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RegistryError(f"{file}: {place or 'registry'}: {first['msg']}") from error


def read_secret(name: str | None, environment: Mapping[str, str] = os.environ) -> SecretStr | None:
    """The value of a named secret. Raises ``RegistryError`` naming the variable when it is not set."""
    if name is None:
        return None
    variable = secret_variable(name)
    if not environment.get(variable):
        raise RegistryError(f"the secret {name!r} is not set: set {variable}")
    return SecretStr(environment[variable])


def secret_variable(name: str) -> str:
    """The environment variable of a named secret."""
    return f"{SECRET_PREFIX}{name.upper()}"
