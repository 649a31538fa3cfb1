"""Tools: functions of a program that ask the service to ask the caller. The only way out of a jail.

On the calls socket, both ways: a 4-byte length and JSON. Out ``{"call", "name", "arguments"}``, in ``{"result"}`` or
``{"error"}``.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

from sandbox.guest.answer import encode
from sandbox.guest.wire import read_exactly, write_all

if TYPE_CHECKING:
    from typing import Any


class ToolError(Exception):
    """A tool was refused, failed, or answered with an error."""


class Calls:
    """The program's end of the calls socket. One call at a time, from any thread of the program's first process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._count = 0

    def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call the tool on the caller's side; its result. Raises :class:`ToolError`."""
        if os.getpid() != self._pid:
            raise ToolError(f"{name}: tools can be called by the program's first process only")
        with self._lock:
            self._count += 1
            request = {"call": self._count, "name": name, "arguments": arguments}
            send_json(self.descriptor, encode(name, request))
            answer = receive_json(self.descriptor)
        if "error" in answer:
            raise ToolError(f"{name}: {answer['error']}")
        return answer["result"]


def define(calls: Calls, tool: dict[str, Any]) -> Any:
    """The function a program calls: keyword arguments, or positional ones in the order of the tool's parameters."""
    name, parameters = tool["name"], tool["parameters"]

    def function(*positional: object, **keywords: object) -> object:
        if len(positional) > len(parameters):
            given = f"{len(positional)} positional arguments were given"
            raise TypeError(f"{name}() takes {len(parameters)} by position ({given}); name the others")
        arguments = dict(zip(parameters, positional))  # noqa: B905 - as many as were given
        if twice := arguments.keys() & keywords.keys():
            raise TypeError(f"{name}() got {min(twice)!r} twice")
        return calls.call(name, {**arguments, **keywords})

    function.__name__ = function.__qualname__ = name
    function.__doc__ = tool["description"]
    return function


def send_json(descriptor: int, encoded: bytes) -> None:
    """Send one message."""
    write_all(descriptor, len(encoded).to_bytes(4, "big") + encoded)


def receive_json(descriptor: int) -> Any:
    """The next message. EOFError when the service is gone."""
    return json.loads(read_exactly(descriptor, int.from_bytes(read_exactly(descriptor, 4), "big")))
