"""How a program ends: as the interpreter does it, as far as a program can notice."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING

from sandbox.guest.confine import BOX

if TYPE_CHECKING:
    import types
    from typing import NoReturn

    from sandbox.guest.answer import Answer

PATH = "/tmp/program.py"  # noqa: S108 - the jail's own tmpfs
# The last module imported before the program was.
_last_before: list[types.ModuleType] = []


def note_imported() -> None:
    """What is imported by now is not the program's."""
    _last_before[:] = [next(reversed(sys.modules.values()))]


def exit_status(end: SystemExit) -> int:
    """What ``sys.exit`` with this makes the exit status."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
    return 1


def leave(code: int) -> NoReturn:
    """Do what the interpreter does at its end and a program can notice, and spare it taking itself apart.

    Threads are waited for, exit handlers run, what the program's modules hold is let go, so that files left open are
    written out; then the streams. Taking apart what was imported in the template would copy all of it.
    """
    try:
        _wind_up()
    except BaseException as error:  # noqa: BLE001 - exit handlers are the program's
        sys.excepthook(type(error), error, error.__traceback__)
    os._exit(code if _flushed() else 120)


def _wind_up() -> None:
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as Py_Finalize does
    atexit._run_exitfuncs()  # noqa: SLF001
    for name in ("last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    for module in _own_modules():
        held = vars(module)
        for name in [name for name in held if name != "__builtins__"]:
            held[name] = None
    gc.collect()


def _own_modules() -> list[types.ModuleType]:
    """What the program imported of its own, the last first. What the template imported is not looked at, or copied."""
    own = []
    for module in reversed(sys.modules.values()):
        if module is _last_before[0]:
            break
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith((BOX + "/", "/tmp/")):  # noqa: S108
            own.append(module)
    return own


def _flushed() -> bool:
    """Whether both streams took what they still held."""
    good = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            good = False
    return good


def report_uncaught(error: BaseException, answer: Answer) -> None:
    """Print the traceback as the interpreter does, without the guest's own frames."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals.get("__name__", "").startswith("sandbox.guest."):
        traceback = traceback.tb_next
    answer.release_spare()
    if isinstance(error, MemoryError) and traceback is not None and not _raised_by_statement(traceback):
        answer.ran_out_of_memory()
    show = sys.excepthook
    if show is sys.__excepthook__ and traceback is not None and traceback.tb_frame.f_code.co_filename != PATH:
        import traceback as shower  # noqa: PLC0415 - the built-in hook cannot show the source of a cell

        show = shower.print_exception
    show(type(error), error.with_traceback(traceback), traceback)


def _raised_by_statement(traceback: types.TracebackType) -> bool:
    """Whether a ``raise`` statement made the exception, rather than an allocation that was refused."""
    import opcode  # noqa: PLC0415

    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_code[traceback.tb_lasti] == opcode.opmap["RAISE_VARARGS"]
