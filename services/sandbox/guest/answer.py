"""``final_answer``, and what else the program's own process tells: one line of a letter and JSON each."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from typing import TYPE_CHECKING

from sandbox.guest.values import MAX_NESTING, nested_too_deep
from sandbox.guest.wire import write_all

if TYPE_CHECKING:
    from typing import NoReturn

SPARE_BYTES = 4 << 20


class FinalAnswer(SystemExit):
    """Ends the program successfully; ``except Exception`` does not catch it."""


class Answer:
    """``final_answer(value)``: record a JSON value as the program's result and end the program with exit status 0.

    The first answer stands. Sets become lists, and so does whatever has NumPy's ``tolist``.
    """

    __name__ = "final_answer"

    def __init__(self, descriptor: int, limit_bytes: int) -> None:
        self._descriptor = descriptor
        self._limit_bytes = limit_bytes
        self._given = False
        # Held, never touched: what is left to report with when the program's memory is used up.
        self._spare = mmap.mmap(-1, SPARE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def __repr__(self) -> str:
        return "<built-in function final_answer>"

    def __call__(self, value: object = None) -> NoReturn:
        if not self._given:
            write_all(self._descriptor, b"A" + self._encoded(value) + b"\n")
            self._given = True
        raise FinalAnswer(0)

    def _encoded(self, value: object) -> bytes:
        encoded = encode("final_answer", value)
        if len(encoded) > self._limit_bytes:
            raise ValueError(
                f"final_answer: the value is {len(encoded)} bytes of JSON, over the limit of {self._limit_bytes}"
            )
        return encoded

    def start_over(self) -> None:
        """A session's next execution may answer again."""
        self._given = False

    def release_spare(self) -> None:
        self._spare.close()

    def ran_out_of_memory(self) -> None:
        with contextlib.suppress(OSError, MemoryError):
            os.write(self._descriptor, b"M\n")


def encode(who: str, value: object) -> bytes:
    """``value`` as strict JSON. ValueError or TypeError when it is not a JSON value, or nested too deep."""
    deep = ValueError(f"{who}: the value is nested more than {MAX_NESTING} deep; flatten it")
    try:
        text = json.dumps(value, default=_jsonable, allow_nan=False)
    except RecursionError:
        raise deep from None
    if text.count("[") + text.count("{") > MAX_NESTING and nested_too_deep(json.loads(text)):
        raise deep
    return text.encode()


def _jsonable(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return list(value)
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        converted: object = tolist()
        return converted
    raise TypeError(f"{type(value).__name__} is not a JSON value; convert it to str, list or dict first")
