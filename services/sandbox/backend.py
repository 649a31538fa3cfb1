"""What a run needs of whatever confines it: bubblewrap's jails and Docker's containers both look like this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sandbox.jail.counted import Counter

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from sandbox.jail.pipes import Kept
    from sandbox.limits import Limits


class Jail(Counter, Protocol):
    """One jail: it waits, takes one job, and is closed. ``stdout`` and the like exist from :meth:`submit` on."""

    on_output_exceeded: Callable[[], None] | None
    """Called when more is written than is kept."""

    @property
    def stdout(self) -> Kept: ...
    @property
    def stderr(self) -> Kept: ...
    @property
    def result(self) -> Kept: ...
    @property
    def calls(self) -> socket.socket | None: ...

    def waiting(self) -> bool:
        """Whether it is alive and has not been given a job."""
        ...

    async def submit(self, job: Mapping[str, Any], limits: Limits, *, result_bytes: int, calls: bool) -> None:
        """Give it its job under ``limits``; ``calls``: whether the program gets a socket to call tools on."""
        ...

    async def ask(self, kind: bytes, wanted: Mapping[str, Any]) -> None:
        """Ask PID 1 to collect (``C``) or interrupt (``I``)."""
        ...

    async def frame(self) -> tuple[bytes, bytes] | None:
        """The next letter and payload from PID 1; None when it is gone."""
        ...

    def kill(self) -> None:
        """End every process of it."""
        ...

    async def finished(self) -> None:
        """Wait until what was written has been read, after the program's end was reported or the jail was killed."""
        ...

    async def close(self) -> None:
        """Kill what is left and give everything back."""
        ...


class Backend(Protocol):
    """Starts jails, and says what they confine with."""

    memory_is_counted: bool

    def serves(self, jail_limits: Limits, limits: Limits) -> bool:
        """Whether a jail started for ``jail_limits`` can run under ``limits``."""
        ...

    async def start(self, limits: Limits) -> Jail:
        """A jail that waits for its job. Raises :class:`~sandbox.jail.faults.JailStartError`."""
        ...

    def describe(self) -> dict[str, object]:
        """What confines a run, as answered to the caller."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...
