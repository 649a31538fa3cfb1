"""``python -m tests.support.small_stack FOLDER PORT [PART ...]``: the real launcher over small parts, as ``up`` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from devstack.launch import Stack
from devstack.parts import Part
from devstack.session import session
from devstack.settings import DevstackSettings

MODULE = "tests.support.part"
SERVE = (
    Part("planner-api", MODULE, ("serve", "planner"), service="planner"),
    Part("idle-worker", MODULE, ("idle",)),
)


def main(folder: Path, port: int, *more: str) -> None:
    parts = (*SERVE, *(Part(f"{action}-part", MODULE, (action,)) for action in more))
    with session() as run, run.stores(DevstackSettings(), folder, durable=False) as stores:
        migrate = ("tests.support.part", "fail") if "migration" in more else ("json.tool", "--help")
        with Stack(stores, {"planner": port}, run.signals, run.say, parts=parts, migrate=migrate) as stack:
            sys.stdout.write("up\n")
            sys.stdout.flush()
            stack.serve_until_stopped()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
