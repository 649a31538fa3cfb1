"""The program's side of the fork: it waits for its job, takes on its limits, and is its ``__main__``.

All that needs no job is done before there is one, so that a run does not wait for it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import builtins
import os
import resource
import sys
from typing import TYPE_CHECKING

from sandbox.guest import calls, cells, ending, figures, inputs, kernel
from sandbox.guest.answer import Answer
from sandbox.guest.confine import BOX
from sandbox.guest.ending import PATH
from sandbox.guest.wire import receive

if TYPE_CHECKING:
    import socket
    import types
    from typing import Any, NoReturn

WAITING_NAME, RUNNING_NAME = "sandbox-waiting", "python3"
# The guest's modules, kept alive for these functions to stand on, out of the program's sight.
_kept: list[types.ModuleType] = []


def main(jobs: socket.socket, pipes: list[int]) -> NoReturn:
    """Become the program, or a session's interpreter. Leaves by ``os._exit``, after what an interpreter does then."""
    kernel.set_dumpable(1)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.signal(_signal.SIGPIPE, _signal.SIG_IGN)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, [])
    stdout, stderr, result = pipes
    _open_streams(stdout, stderr)
    _start_afresh()
    module = _main_module()
    try:
        _, job = receive(jobs)
    except EOFError:
        os._exit(0)  # nothing came to be run
    kernel.set_name(RUNNING_NAME)
    _be(job, module, Answer(result, job["result_bytes"]), jobs.detach())


def _be(job: dict[str, Any], module: types.ModuleType, answer: Answer, connection: int) -> NoReturn:
    vars(builtins)["final_answer"] = answer
    inputs.write_files(job["files"])
    inputs.become_stdin(job["stdin"].encode())
    for name, soft, hard in job["rlimits"]:
        _lower_limit(getattr(resource, name), soft, hard)
    if job["session"]:
        cells.serve(calls.Calls(connection), module, answer)
        os._exit(0)
    if job["tools"]:
        inputs.define_tools(calls.Calls(connection), job["tools"])
    else:
        os.close(connection)
    ending.leave(_run(job, module, answer))


def _run(job: dict[str, Any], module: types.ModuleType, answer: Answer) -> int:
    try:
        code = job["code"].encode()
        with open(PATH, "xb") as file:  # noqa: PTH123 - pathlib is an import to pay
            file.write(code)
        exec(compile(code, PATH, "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is the jail
        status = 0
    except SystemExit as end:
        status = ending.exit_status(end)
    except BaseException as error:  # noqa: BLE001 - what the interpreter itself does at the top level
        ending.report_uncaught(error, answer)
        status = 1
    if job["figures"]:
        try:
            figures.save_open_figures()
        except Exception as error:  # noqa: BLE001 - drawing is the program's, and so is its failure
            ending.report_uncaught(error, answer)
            status = status or 1
    return status


def _lower_limit(kind: int, soft: int, hard: int) -> None:
    """A hard limit the service itself was given can only be lowered further."""
    inherited = resource.getrlimit(kind)[1]
    if inherited != resource.RLIM_INFINITY:
        hard = min(hard, inherited)
    resource.setrlimit(kind, (min(soft, hard), hard))


def _open_streams(stdout: int, stderr: int) -> None:
    """UTF-8 whatever the locale, and a line at a time, so that a killed program's last words are not lost."""
    inputs.become_stdin(b"")  # a stream remembers the kind of its descriptor: the job's will be alike
    for number, descriptor in ((1, stdout), (2, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    streams = {}
    for number, name, mode, errors in (
        (0, "stdin", "r", "strict"),
        (1, "stdout", "w", "strict"),
        (2, "stderr", "w", "backslashreplace"),
    ):
        buffering = 1 if mode == "w" else -1
        streams[name] = open(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
    vars(sys).update(streams, **{f"__{name}__": stream for name, stream in streams.items()})


def hide_guest() -> None:
    """Take the guest's modules out of the program's sight. Done before any fork: it would copy what it looks at."""
    guests = [name for name in sys.modules if name == "sandbox" or name.startswith("sandbox.")]
    _kept.extend(sys.modules.pop(name) for name in guests)


def _start_afresh() -> None:
    """Nothing that was drawn in the template is shared between programs; Python's own generator sees to itself."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def _main_module() -> types.ModuleType:
    sys.argv[:] = [PATH]
    sys.path.insert(0, BOX)
    module = type(sys)("__main__")
    vars(module).update(__file__=PATH, __builtins__=builtins)
    _kept.append(sys.modules.pop("__main__"))
    ending.note_imported()
    sys.modules["__main__"] = module
    return module
