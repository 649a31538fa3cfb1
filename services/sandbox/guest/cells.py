"""A session's interpreter: one execution after the other in one ``__main__``.

The service sends a cell on the calls socket and is told when it ended; between the two the same socket carries tool
calls. The interpreter is the caller's own code by then: what it says of itself can mislead its caller alone, and what
limits it, and how its process ended, is counted and said outside.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from typing import TYPE_CHECKING

from sandbox.guest import ending, figures, inputs
from sandbox.guest.calls import receive_json, send_json

if TYPE_CHECKING:
    import types
    from typing import Any

    from sandbox.guest.answer import Answer
    from sandbox.guest.calls import Calls


def serve(calls: Calls, module: types.ModuleType, answer: Answer) -> None:
    """Run cells until the service closes the socket."""
    number = 0
    while True:
        try:
            cell = receive_json(calls.descriptor)
            number += 1
            code = _run(cell, number, calls, module, answer)
            _flush()
            send_json(calls.descriptor, b'{"end": %d, "exit_code": %d}' % (cell["cell"], code))
        except KeyboardInterrupt:  # it came when nothing of the caller's ran
            continue
        except EOFError:
            return


def _run(cell: dict[str, Any], number: int, calls: Calls, module: types.ModuleType, answer: Answer) -> int:
    answer.start_over()
    try:
        _give(cell, calls)
        _execute(cell["code"], f"<cell {number}>", module)
        if cell["figures"]:
            figures.save_open_figures()
    except SystemExit as end:
        return ending.exit_status(end)
    except BaseException as error:  # noqa: BLE001 - whatever the cell raised
        ending.report_uncaught(error, answer)
        return 1
    return 0


def _give(cell: dict[str, Any], calls: Calls) -> None:
    """The cell's files, standard input and tools."""
    inputs.write_files((path, bytes.fromhex(encoded)) for path, encoded in cell["files"])
    inputs.become_stdin(cell["stdin"].encode())
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as the cell
    inputs.define_tools(calls, cell["tools"])


def _execute(code: str, name: str, module: types.ModuleType) -> None:
    """Run a cell; an expression at its end is shown, as by the interactive interpreter."""
    import linecache  # noqa: PLC0415

    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is the jail
    if last is not None:
        exec(compile(ast.Interactive([last]), name, "single", dont_inherit=True), vars(module))  # noqa: S102


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
