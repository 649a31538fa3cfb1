"""Bytes between a jail and the service: frames of a letter, a 4-byte length and a payload.

From PID 1: ``H`` closed; ``E`` the program ended: wait status, user and system microseconds, peak bytes; ``F`` a
collected file; ``O`` a file left out, with the reason; ``D`` nothing more comes; ``X`` the jail could not be made.
To PID 1, a marshalled dictionary in a frame: ``G`` fork the program, ``C`` collect, ``I`` interrupt.
To the program: ``J`` its job, once; then the socket is for tools and cells.
"""

from __future__ import annotations

import marshal
import os

TYPE_CHECKING = False  # as typing has it, without importing it
if TYPE_CHECKING:
    import socket
    from typing import Any

CHUNK_BYTES = 1 << 20
HEADER_BYTES = 5
# A request for a jail: the size of its working directory, with two sockets and the program's pipes.
DISK_BYTES_WIDTH = 8
PIPES = 3


def send(descriptor: int, kind: bytes, payload: bytes) -> None:
    """Write one frame."""
    write_all(descriptor, kind + len(payload).to_bytes(4, "big") + payload)


def receive(connection: socket.socket) -> tuple[bytes, dict[str, Any]]:
    """The letter and content of the next frame from the service. EOFError when the service is gone."""
    header = read_exactly(connection.fileno(), HEADER_BYTES)
    payload = read_exactly(connection.fileno(), int.from_bytes(header[1:], "big"))
    return header[:1], marshal.loads(payload) if payload else {}  # noqa: S302 - from the service


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
