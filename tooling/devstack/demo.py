"""One real plan and one real episode, through the public APIs, shown by the client's own commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from devstack.errors import DevstackError

if TYPE_CHECKING:
    from devstack.launch import Stack

SECONDS = 180.0
STEPS = (
    (
        "POST /plans: llama-2-7b, global batch 512, sequence 4096, on 64 A100-80GB (examples/plan.json)",
        ("plan", "examples/plan.json", "--wait"),
    ),
    (
        "POST /solve: one episode with recorded model replies, its programs run in the jail (examples/solve.json)",
        ("solve", "examples/solve.json", "--wait"),
    ),
)


def show(stack: Stack) -> None:
    """Run both requests. Raises DevstackError when one fails; the client has said why by then."""
    for title, arguments in STEPS:
        sys.stdout.write(f"\n== {title}\n\n")
        sys.stdout.flush()
        status = stack.run([sys.executable, "-m", "astrolabe", *arguments], SECONDS)
        if status != 0:
            raise DevstackError(f"astrolabe {' '.join(arguments)} ended with status {status}")
    sys.stdout.write("\n")
    sys.stdout.flush()
