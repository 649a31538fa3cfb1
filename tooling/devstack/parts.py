"""The parts of Astrolabe: one row for each process that ``up`` and ``demo`` run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One process: ``python -m MODULE ARGUMENTS``. A ``service`` listens on ``ASTROLABE_<SERVICE>_PORT``."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    service: str | None = None
    # The sandbox runs code nobody trusts: it is never given the addresses of the stores.
    sees_stores: bool = True

    @property
    def title(self) -> str:
        return self.name.replace("-", " ")


PARTS = (
    Part("sandbox", "sandbox", service="sandbox", sees_stores=False),
    Part("planner-api", "planner", ("serve",), service="planner"),
    Part("codetree-api", "codetree", ("serve",), service="codetree"),
    Part("relay", "kit", ("relay",)),
    Part("courier", "kit", ("courier",)),
    Part("planner-worker", "planner", ("worker",)),
    Part("codetree-worker", "codetree", ("worker",)),
)
SERVICES = tuple(part.service for part in PARTS if part.service)
MIGRATE = ("kit", "migrate")
STORE_VARIABLES = ("ASTROLABE_DATABASE_URL", "ASTROLABE_REDIS_URL")


def port_variable(service: str) -> str:
    """Where a service reads its own port."""
    return f"ASTROLABE_{service.upper()}_PORT"


def url_variable(service: str) -> str:
    """Where other services and the client read its address."""
    return f"ASTROLABE_{service.upper()}_URL"
