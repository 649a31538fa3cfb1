"""Stop signals as a flag that waits look at; nothing is ever raised inside a handler, so no step is cut in half."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from devstack.errors import StopRequestedError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP: the first asks for an orderly stop, a further one for a hurried one."""

    def __init__(self) -> None:
        self._count = 0
        self._previous: dict[signal.Signals, signal._HANDLER] = {}
        self._reader = self._writer = -1

    @property
    def hurried(self) -> bool:
        return self._count > 1

    def check(self) -> None:
        """Raise StopRequestedError when a stop was asked for."""
        if self._count:
            raise StopRequestedError

    def pause(self, seconds: float) -> None:
        """Sleep, but wake at once and raise StopRequestedError when a stop is asked for."""
        self.check()
        select.select([self._reader], [], [], seconds)
        self.check()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
        with suppress(BlockingIOError):
            os.write(self._writer, b"!")

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in STOP_SIGNALS:
            # nohup ignores SIGHUP on purpose; an ignored SIGINT only means "started in the background".
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
