"""What a program, or a cell of a session, is given: its files, standard input and tools."""

from __future__ import annotations

import builtins
import os
from typing import TYPE_CHECKING

from sandbox.guest import calls
from sandbox.guest.collect import write_beneath
from sandbox.guest.confine import BOX
from sandbox.guest.wire import write_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def write_files(files: Iterable[tuple[str, bytes]]) -> None:
    """Write them below the working directory, never through a link."""
    box = os.open(BOX, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path, content in files:
            write_beneath(box, path, content)
    finally:
        os.close(box)


def become_stdin(content: bytes) -> None:
    """Have descriptor 0 read ``content``."""
    descriptor = os.memfd_create("stdin")
    write_all(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def define_tools(connection: calls.Calls, tools: list[dict[str, Any]]) -> None:
    """Make each tool a built-in name of the program."""
    vars(builtins)["ToolError"] = calls.ToolError
    for tool in tools:
        vars(builtins)[tool["name"]] = calls.define(connection, tool)
