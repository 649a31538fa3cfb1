"""The only file that runs inside a jail. It is PID 1 there, and the parent of the program.

As PID 1 it cannot be signalled by the program, and it is not dumpable, so the program can neither trace it nor open
its memory or descriptors: the wait status it reports is the kernel's. It needs the standard library only, imports as
little of it as it can (every import is paid on every run), and knows nothing of the service.

Descriptors, named by the two arguments: CONTROL, a socket to the service (a job in, a report out), which the program
never inherits; RESULT, a pipe on which the program may answer, which PID 1 closes.

CONTROL carries, out: ``H`` when ready; then frames of one letter, a 4-byte length and a payload. ``E`` wait status,
user and system microseconds, peak bytes; ``F`` a collected file; ``O`` a file left out, with the reason; ``X`` why the
program could not be started; ``D`` nothing more comes. In: a 4-byte length and a marshalled dictionary.
RESULT carries lines: ``A`` and a JSON value, or ``M`` when the interpreter ran out of memory.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal wraps in enumerations, the slowest import of all
import builtins
import ctypes
import gc
import marshal
import os
import resource
import stat
import sys

TYPE_CHECKING = False  # as typing has it, without importing it
if TYPE_CHECKING:
    import types
    from collections.abc import Iterator
    from typing import Any, NoReturn

    Job = dict[str, Any]

BOX = "/box"
PROGRAM = "/tmp/program.py"  # noqa: S108 - the jail's own tmpfs
PR_SET_DUMPABLE = 4
CHUNK_BYTES = 1 << 20
SPARE_BYTES = 4 << 20
SCANNED_ENTRIES = 10_000
COLLECTED_DEPTH = 32


def main() -> None:
    """Take the job, fork the program, report how it ended."""
    control, result = int(sys.argv[1]), int(sys.argv[2])
    # Python handles SIGINT, and PID 1 is only deaf to signals it has no handler for.
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    os.write(control, b"H")
    job = marshal.loads(_read_exactly(control, int.from_bytes(_read_exactly(control, 4), "big")))  # noqa: S302 - from the service
    _set_dumpable(0)
    try:
        stdin = _prepare(job)
    except OSError as error:
        _send(control, b"X", f"{error.strerror}: {error.filename}".encode())
        os._exit(0)
    gc.freeze()  # or the program's collections would copy every page of what is here already
    program = os.fork()
    if program == 0:
        os.close(control)
        _run_program(job, stdin, result)
        return
    os.close(stdin)
    os.close(result)
    _send(control, b"E", b"%d %d %d %d" % _supervise(program))
    _collect(control, job["collect"])
    _send(control, b"D", b"")
    os._exit(0)


def _set_dumpable(value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _prepare(job: Job) -> int:
    """Write the input files and the program, before any of the program's own code exists."""
    for path, content in job["files"]:
        target = f"{BOX}/{path}"
        os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib is an import to pay
        _write_new(target, content)
    _write_new(PROGRAM, job["code"].encode())
    stdin = os.memfd_create("stdin")
    _write_all(stdin, job["stdin"].encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    return stdin


def _write_new(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        _write_all(descriptor, content)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def _supervise(program: int) -> tuple[int, int, int, int]:
    """Wait for the program, end all it left behind, and say what the kernel counted for the whole tree."""
    while True:
        ended, status = os.wait()
        if ended == program:
            break
    try:
        os.kill(-1, _signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        pass
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return status, int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6), usage.ru_maxrss * 1024


# --- the program's side of the fork --------------------------------------------------------------------------------


def _run_program(job: Job, stdin: int, result: int) -> None:
    """Become the program: its limits, its streams, its ``__main__``; then leave by the interpreter's ordinary exit."""
    _set_dumpable(1)
    os.dup2(stdin, 0)
    os.close(stdin)
    os.set_inheritable(result, False)  # noqa: FBT003
    for name, soft, hard in job["rlimits"]:
        _lower_limit(getattr(resource, name), soft, hard)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _open_streams()
    sys.argv[:] = [PROGRAM]
    sys.path.insert(0, BOX)
    answer = Answer(result, job["result_bytes"])
    vars(builtins)["final_answer"] = answer
    module = type(sys)("__main__")
    vars(module).update(__file__=PROGRAM, __builtins__=builtins)
    # Dropping the last reference to this file's own module would clear the globals these functions stand on.
    sys.modules["__guest__"], sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        exec(compile(job["code"], PROGRAM, "exec", dont_inherit=True), vars(module))  # noqa: S102 - this is the jail
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - what the interpreter itself does at the top level
        _report_uncaught(error, answer)
        sys.exit(1)


def _lower_limit(kind: int, soft: int, hard: int) -> None:
    """A hard limit the service itself was given can only be lowered further."""
    inherited = resource.getrlimit(kind)[1]
    if inherited != resource.RLIM_INFINITY:
        hard = min(hard, inherited)
    resource.setrlimit(kind, (min(soft, hard), hard))


def _open_streams() -> None:
    """UTF-8 whatever the locale, and a line at a time, so that a killed program's last words are not lost."""
    stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it lives as long as the program
    vars(sys).update(stdin=stdin, __stdin__=stdin)
    for stream, errors in ((sys.stdout, "strict"), (sys.stderr, "backslashreplace")):
        stream.reconfigure(encoding="utf-8", errors=errors, line_buffering=True)  # type: ignore[union-attr]


def _report_uncaught(error: BaseException, answer: Answer) -> None:
    traceback = error.__traceback__ and error.__traceback__.tb_next  # without this file's frame
    answer.release_spare()
    if isinstance(error, MemoryError) and traceback is not None and not _raised_by_statement(traceback):
        answer.ran_out_of_memory()
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)


def _raised_by_statement(traceback: types.TracebackType) -> bool:
    """Whether a ``raise`` statement made the exception, rather than an allocation that was refused."""
    import opcode  # noqa: PLC0415 - only paid by a program that failed this way

    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_code[traceback.tb_lasti] == opcode.opmap["RAISE_VARARGS"]


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
        self._spare = bytearray(SPARE_BYTES)

    def __repr__(self) -> str:
        return "<built-in function final_answer>"

    def __call__(self, value: object = None) -> NoReturn:
        if not self._given:
            _write_all(self._descriptor, b"A" + self._encoded(value) + b"\n")
            self._given = True
        raise FinalAnswer(0)

    def _encoded(self, value: object) -> bytes:
        import json  # noqa: PLC0415 - only paid by a program that answers

        encoded = json.dumps(value, default=_jsonable, allow_nan=False).encode()
        if len(encoded) > self._limit_bytes:
            raise ValueError(
                f"final_answer: the value is {len(encoded)} bytes of JSON, over the limit of {self._limit_bytes}"
            )
        return encoded

    def release_spare(self) -> None:
        self._spare = bytearray()

    def ran_out_of_memory(self) -> None:
        try:  # noqa: SIM105 - contextlib is an import to pay
            os.write(self._descriptor, b"M\n")
        except (OSError, MemoryError):
            pass


def _jsonable(value: object) -> object:
    if isinstance(value, (set, frozenset)):
        return list(value)
    tolist = getattr(value, "tolist", None)
    if callable(tolist):
        converted: object = tolist()
        return converted
    raise TypeError(f"final_answer: {type(value).__name__} is not a JSON value; convert it to str, list or dict first")


# --- collecting, when PID 1 is the only process left ---------------------------------------------------------------


def _collect(control: int, wanted: dict[str, Any]) -> None:
    """Send the regular files that match. Links are never followed, and no process is left that could swap a name."""
    if not wanted["patterns"]:
        return
    import re  # noqa: PLC0415 - only paid when files are asked for

    matches = re.compile("|".join(f"(?:{pattern})" for pattern in wanted["patterns"])).fullmatch
    files, room = 0, wanted["total_bytes"]
    for path, entry in _walk():
        if not matches(path):
            continue
        if files == wanted["files"]:
            _leave_out(control, path, b"too_many")
            return
        files += 1
        room -= _collect_one(control, path, entry, room)


def _walk() -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry of the working directory that is not a directory, in order, bounded in number and depth."""
    pending, seen = [("", 0)], 0
    while pending:
        prefix, depth = pending.pop()
        try:
            with os.scandir(f"{BOX}/{prefix}") as entries:
                names = sorted(_bounded(entries, SCANNED_ENTRIES - seen), key=lambda entry: entry.name)
        except OSError:
            continue
        seen += len(names)
        for entry in names:
            if not entry.is_dir(follow_symlinks=False):
                yield prefix + entry.name, entry
            elif depth < COLLECTED_DEPTH:
                pending.append((f"{prefix}{entry.name}/", depth + 1))


def _bounded(entries: Iterator[os.DirEntry[str]], count: int) -> Iterator[os.DirEntry[str]]:
    for _, entry in zip(range(count), entries):  # noqa: B905 - the shorter one ends it; older interpreters lack strict
        yield entry


def _collect_one(control: int, path: str, entry: os.DirEntry[str], room: int) -> int:
    """Send one file, or say why not; how many bytes were sent."""
    if not entry.is_file(follow_symlinks=False):
        _leave_out(control, path, b"not_a_regular_file")
        return 0
    try:
        descriptor = os.open(f"{BOX}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        _leave_out(control, path, b"unreadable")
        return 0
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            _leave_out(control, path, b"not_a_regular_file")
            return 0
        if facts.st_size > room:
            _leave_out(control, path, b"too_large", facts.st_size)
            return 0
        name, content = os.fsencode(path), _read_exactly(descriptor, facts.st_size)
        _send(control, b"F", len(name).to_bytes(4, "big") + name + content)
        return len(content)
    finally:
        os.close(descriptor)


def _leave_out(control: int, path: str, reason: bytes, size_bytes: int = 0) -> None:
    _send(control, b"O", b"%s %d " % (reason, size_bytes) + os.fsencode(path))


# --- descriptors ---------------------------------------------------------------------------------------------------


def _send(descriptor: int, kind: bytes, payload: bytes) -> None:
    _write_all(descriptor, kind + len(payload).to_bytes(4, "big") + payload)


def _write_all(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining[:CHUNK_BYTES]) :]


def _read_exactly(descriptor: int, size_bytes: int) -> bytes:
    parts = []
    while size_bytes:
        part = os.read(descriptor, min(size_bytes, CHUNK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
