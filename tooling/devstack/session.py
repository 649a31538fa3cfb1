"""One run of the launcher in a terminal: what it says, how it is told to stop, and the proof that nothing is left."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from devstack import offspring
from devstack.errors import DevstackError, StopRequestedError
from devstack.signals import StopSignals
from devstack.stores import Stores
from devstack.stores.account import store_account
from devstack.stores.folder import choose_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devstack.settings import DevstackSettings

# How long descendants may take to notice that their parent is gone.
GRACE_SECONDS = 3.0


class Session:
    """The terminal and the stop signals of one run."""

    def __init__(self, signals: StopSignals) -> None:
        self.signals = signals
        # Progress goes to standard error: standard output is for results.
        self._console = Console(stderr=True, highlight=False)
        self._began = time.monotonic()

    def say(self, message: str) -> None:
        """One line of progress, with the seconds since the start."""
        self._console.print(f"[dim]{time.monotonic() - self._began:5.1f} s[/dim]  ", end="")
        self._console.print(message, markup=False)

    def fail(self, message: str) -> None:
        self._console.print("[bold red]error:[/bold red] ", end="")
        self._console.print(message, markup=False)

    def folder(self, settings: DevstackSettings) -> Path:
        """Where data goes, decided by what the user of the embedded stores can reach."""
        embedded = None in settings.given_stores().values()
        wanted = settings.data_dir
        path = choose_folder(wanted, store_account(self.say) if embedded else None)
        if wanted is None and path != choose_folder(None, None):
            self.say(f"the checkout is private to this user, so the stores' data is in {path}")
        return path

    def stores(self, settings: DevstackSettings, folder: Path, *, durable: bool = True) -> Stores:
        """The stores, not started yet."""
        return Stores(
            folder,
            **settings.given_stores(),
            durable=durable,
            announce=self.say,
            hurried=lambda: self.signals.hurried,
        )


@contextmanager
def session() -> Iterator[Session]:
    """Run a command to its end or to the first stop signal, and leave no process behind.

    A stop that was asked for is a success. Exits with status 1 on a DevstackError, and when a process had to be
    killed at the end because it escaped the orderly stop.
    """
    offspring.adopt_orphans()
    with StopSignals() as signals:
        run = Session(signals)
        failed = False
        try:
            yield run
        except StopRequestedError:
            pass
        except DevstackError as error:
            run.fail(str(error))
            failed = True
        finally:
            left = _clear_up(run)
        if failed or left:
            raise SystemExit(1)


def _clear_up(run: Session) -> bool:
    left = offspring.remaining_after(GRACE_SECONDS)
    for pid, command in left.items():
        run.fail(f"process {pid} outlived the stop and was killed: {command}")
    offspring.kill_all(left)
    if not left:
        run.say("everything is stopped, no process is left")
    return bool(left)
