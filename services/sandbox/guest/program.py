"""The program's side of the fork: its limits, its streams, its ``__main__``, and its end."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import builtins
import os
import resource
import sys
from typing import TYPE_CHECKING

from sandbox.guest import calls, cells, figures, kernel
from sandbox.guest.answer import Answer
from sandbox.guest.confine import BOX
from sandbox.guest.wire import write_all

if TYPE_CHECKING:
    import types
    from typing import Any, NoReturn

PATH = "/tmp/program.py"  # noqa: S108 - the jail's own tmpfs
# The guest's modules, kept alive for these functions to stand on, out of the program's sight.
_kept: list[types.ModuleType] = []


def main(job: dict[str, Any], stdin: int, descriptors: list[int]) -> NoReturn:
    """Become the program, or a session's interpreter. Leaves by ``os._exit``, after what an interpreter does then."""
    kernel.set_dumpable(1)
    stdout, stderr, result, *called = descriptors
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    for name, soft, hard in job["rlimits"]:
        _lower_limit(getattr(resource, name), soft, hard)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _open_streams()
    _start_afresh()
    answer = Answer(result, job["result_bytes"])
    module = _main_module(answer)
    if job["session"]:
        cells.serve(calls.Calls(called[0]), module, answer)
        os._exit(0)
    if called and job["tools"]:
        define_tools(calls.Calls(called[0]), job["tools"])
    leave(_run(job, module, answer))


def _run(job: dict[str, Any], module: types.ModuleType, answer: Answer) -> int:
    try:
        exec(compile(job["code"], PATH, "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is the jail
        code = 0
    except SystemExit as end:
        code = exit_status(end)
    except BaseException as error:  # noqa: BLE001 - what the interpreter itself does at the top level
        report_uncaught(error, answer)
        code = 1
    if job["figures"]:
        try:
            figures.save_open_figures()
        except Exception as error:  # noqa: BLE001 - drawing is the program's, and so is its failure
            report_uncaught(error, answer)
            code = code or 1
    return code


def define_tools(connection: calls.Calls, tools: list[dict[str, Any]]) -> None:
    """Make each tool a built-in name of the program."""
    vars(builtins)["ToolError"] = calls.ToolError
    for tool in tools:
        vars(builtins)[tool["name"]] = calls.define(connection, tool)


def memory_file(content: bytes) -> int:
    """A descriptor to read ``content`` from."""
    descriptor = os.memfd_create("stdin")
    write_all(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _lower_limit(kind: int, soft: int, hard: int) -> None:
    """A hard limit the service itself was given can only be lowered further."""
    inherited = resource.getrlimit(kind)[1]
    if inherited != resource.RLIM_INFINITY:
        hard = min(hard, inherited)
    resource.setrlimit(kind, (min(soft, hard), hard))


def _open_streams() -> None:
    """UTF-8 whatever the locale, and a line at a time, so that a killed program's last words are not lost."""
    streams = {}
    for number, name, mode, errors in (
        (0, "stdin", "r", "strict"),
        (1, "stdout", "w", "strict"),
        (2, "stderr", "w", "backslashreplace"),
    ):
        buffering = 1 if mode == "w" else -1
        streams[name] = open(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
    vars(sys).update(streams, **{f"__{name}__": stream for name, stream in streams.items()})


def _start_afresh() -> None:
    """Nothing that was drawn in the template is shared between programs."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()  # Python's own generator does this after every fork
    guests = [name for name in sys.modules if name == "sandbox" or name.startswith("sandbox.")]
    _kept.extend(sys.modules.pop(name) for name in guests)


def _main_module(answer: Answer) -> types.ModuleType:
    sys.argv[:] = [PATH]
    sys.path.insert(0, BOX)
    vars(builtins)["final_answer"] = answer
    module = type(sys)("__main__")
    vars(module).update(__file__=PATH, __builtins__=builtins)
    _kept.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    return module


# --- its end -------------------------------------------------------------------------------------------------------


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
    import atexit  # noqa: PLC0415
    import gc  # noqa: PLC0415
    import threading  # noqa: PLC0415

    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as Py_Finalize does
    atexit._run_exitfuncs()  # noqa: SLF001
    for name in ("last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    for module in [module for module in list(sys.modules.values()) if _belongs_to_program(module)]:
        held = vars(module)
        for name in [name for name in held if name != "__builtins__"]:
            held[name] = None
    gc.collect()


def _belongs_to_program(module: object) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.startswith((BOX + "/", "/tmp/"))  # noqa: S108


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
