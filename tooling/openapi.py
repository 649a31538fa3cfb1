"""Write what each service says of itself to ``docs/openapi``, or ``--check`` that it is there as the code says it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codetree.api import make_app as make_codetree
from codetree.settings import CodetreeServiceSettings
from planner.api import make_app as make_planner
from planner.settings import PlannerSettings
from sandbox.app import build_app as make_sandbox
from sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "openapi"
# No store is asked for a schema; the addresses only have to be there.
_STORES = {"database_url": "postgresql://nowhere/none", "redis_url": "redis://nowhere"}


def applications() -> dict[str, FastAPI]:
    """Each service's application, by its name."""
    return {
        "planner": make_planner(PlannerSettings.model_validate(_STORES)),
        "codetree": make_codetree(CodetreeServiceSettings.model_validate(_STORES)),
        "sandbox": make_sandbox(SandboxSettings()),
    }


def documents() -> dict[Path, str]:
    """The text of each file."""
    return {
        FOLDER / f"{name}.json": json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"
        for name, app in applications().items()
    }


def main() -> int:
    """Write, or check; the status is 1 when a file is not what the code says."""
    stale = []
    for path, text in documents().items():
        if "--check" not in sys.argv:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.stderr.write(
            f"docs/openapi: {', '.join(stale)} no longer say what the code does. If clients can live with the change, "
            "run `make openapi` and commit the difference; else take the change back.\n"
        )
    return int(bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
