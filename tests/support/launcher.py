"""Run the launcher as a developer does, in a process of its own, in a folder the store user can reach."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.offspring import descendants
from devstack.stores.survivors import wait_for_exit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
EXIT_SECONDS = 20.0
NOBODY = 65534


@dataclass
class Launched:
    """A running ``python -m devstack stores``."""

    process: subprocess.Popen[str]
    database_url: str
    redis_url: str

    def store_pids(self) -> list[int]:
        return [
            pid for pid, command in descendants(self.process.pid).items() if "postgres" in command or "redis" in command
        ]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(EXIT_SECONDS)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A temporary folder every user may enter; pytest's own are private to the user who runs it."""
    path = Path(tempfile.mkdtemp(prefix="astrolabe-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without a developer's ``ASTROLABE_*`` settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ASTROLABE_")} | more


@contextmanager
def launched_stores(
    *arguments: str | Path, prefix: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[Launched]:
    """``python -m devstack stores ARGUMENTS``, ready; killed at the end if the test left it running."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "devstack", "stores", *map(str, arguments)],
        stdout=subprocess.PIPE,
        env=environment or clean_environment(),
        text=True,
    )
    try:
        assert process.stdout is not None
        exports = [process.stdout.readline() for _ in range(2)]
        urls = [line.partition("=")[2].strip().strip("'") for line in exports]
        assert all(urls), f"the launcher printed {exports}"
        yield Launched(process, *urls)
    finally:
        if process.stdout is not None:
            process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()


def all_exit(pids: Sequence[int], seconds: float = 5.0) -> bool:
    return all(wait_for_exit(pid, seconds) for pid in pids)
