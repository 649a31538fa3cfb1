"""Files of the working directory, in and out: never through a link, never out of it, never more than agreed."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING

from sandbox.guest import kernel
from sandbox.guest.confine import BOX
from sandbox.guest.wire import read_exactly, send, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SCANNED_ENTRIES = 10_000
COLLECTED_DEPTH = 32


def write_beneath(box: int, path: str, content: bytes) -> None:
    """Write a file below ``box``, with the folders it needs; what had the name is replaced, not written through."""
    *folders, name = path.split("/")
    folder = os.dup(box)
    try:
        for part in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=folder)
            inner = kernel.open_beneath(folder, part, os.O_RDONLY | os.O_DIRECTORY)
            os.close(folder)
            folder = inner
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        descriptor = kernel.open_beneath(folder, name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(folder)
    try:
        write_all(descriptor, content)
    finally:
        os.close(descriptor)


def collect(control: int, wanted: dict[str, Any]) -> None:
    """Send the regular files that match, or say why one is left out; then that nothing more comes."""
    if wanted["patterns"]:
        box = os.open(BOX, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _collect(control, box, wanted)
        finally:
            os.close(box)
    send(control, b"D", b"")


def _collect(control: int, box: int, wanted: dict[str, Any]) -> None:
    matches = re.compile("|".join(f"(?:{pattern})" for pattern in wanted["patterns"])).fullmatch
    files, room = 0, wanted["total_bytes"]
    for path, entry in _walk(box):
        if not matches(path):
            continue
        if files == wanted["files"]:
            _leave_out(control, path, b"too_many")
            return
        files += 1
        room -= _collect_one(control, box, path, entry, room)


def _walk(box: int) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry of the working directory that is not a folder, in order, bounded in number and depth."""
    pending, seen = [("", 0)], 0
    while pending:
        prefix, depth = pending.pop()
        names = _entries(box, prefix or ".", SCANNED_ENTRIES - seen)
        seen += len(names)
        for entry in names:
            if not entry.is_dir(follow_symlinks=False):
                yield prefix + entry.name, entry
            elif depth < COLLECTED_DEPTH:
                pending.append((f"{prefix}{entry.name}/", depth + 1))


def _entries(box: int, folder: str, count: int) -> list[os.DirEntry[str]]:
    """At most ``count`` entries, by name; none of a folder that cannot be read or is gone."""
    try:
        descriptor = kernel.open_beneath(box, folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(descriptor) as entries:
            return sorted((entry for _, entry in zip(range(count), entries)), key=lambda entry: entry.name)  # noqa: B905 - the shorter one ends it
    finally:
        os.close(descriptor)


def _collect_one(control: int, box: int, path: str, entry: os.DirEntry[str], room: int) -> int:
    """Send one file, or say why not; how many bytes were sent."""
    if entry.is_symlink():
        _leave_out(control, path, b"not_a_regular_file")
        return 0
    try:
        descriptor = kernel.open_beneath(box, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        _leave_out(control, path, b"unreadable" if _is_file(box, path) else b"not_a_regular_file")
        return 0
    try:
        return _send_file(control, path, descriptor, room)
    finally:
        os.close(descriptor)


def _is_file(box: int, path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path, dir_fd=box, follow_symlinks=False).st_mode)
    except OSError:
        return True  # gone, or behind a folder that cannot be entered


def _send_file(control: int, path: str, descriptor: int, room: int) -> int:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        _leave_out(control, path, b"not_a_regular_file")
        return 0
    if facts.st_size > room:
        _leave_out(control, path, b"too_large", facts.st_size)
        return 0
    try:
        content = read_exactly(descriptor, facts.st_size)
    except EOFError:  # it shrank meanwhile: a session's processes go on
        _leave_out(control, path, b"changed_while_read")
        return 0
    name = os.fsencode(path)
    send(control, b"F", len(name).to_bytes(4, "big") + name + content)
    return len(content)


def _leave_out(control: int, path: str, reason: bytes, size_bytes: int = 0) -> None:
    send(control, b"O", b"%s %d " % (reason, size_bytes) + os.fsencode(path))
