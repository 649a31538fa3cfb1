"""Bytes between a jail and the service: frames of a letter, a 4-byte length and a payload; and descriptors.

From PID 1: ``H`` ready; ``E`` the program ended: wait status, user and system microseconds, peak bytes; ``F`` a
collected file; ``O`` a file left out, with the reason; ``D`` nothing more comes; ``X`` the jail could not be made.
To PID 1: a marshalled dictionary in a frame, ``J`` a job, ``C`` collect, ``I`` interrupt.
"""

from __future__ import annotations

import array
import marshal
import os
import socket

TYPE_CHECKING = False  # as typing has it, without importing it
if TYPE_CHECKING:
    from typing import Any

CHUNK_BYTES = 1 << 20
HEADER_BYTES = 5
MAX_DESCRIPTORS = 4


def send(descriptor: int, kind: bytes, payload: bytes) -> None:
    """Write one frame."""
    write_all(descriptor, kind + len(payload).to_bytes(4, "big") + payload)


def receive(control: socket.socket) -> tuple[bytes, dict[str, Any], list[int]]:
    """The next frame from the service, with the descriptors that came along. EOFError when the service is gone."""
    first, descriptors = _receive_descriptors(control)
    if not first:
        raise EOFError
    header = first + read_exactly(control.fileno(), HEADER_BYTES - len(first))
    payload = read_exactly(control.fileno(), int.from_bytes(header[1:], "big"))
    return header[:1], marshal.loads(payload) if payload else {}, descriptors  # noqa: S302 - from the service


def _receive_descriptors(control: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize)
    data, ancillary, _, _ = control.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, list(descriptors)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of ``content``, however little the kernel takes at a time."""
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining[:CHUNK_BYTES]) :]


def read_exactly(descriptor: int, size_bytes: int) -> bytes:
    """Read ``size_bytes``; EOFError when there are fewer."""
    parts = []
    while size_bytes:
        part = os.read(descriptor, min(size_bytes, CHUNK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size_bytes -= len(part)
    return b"".join(parts)
