"""System calls Python has no function for. Every failure is an OSError that names the call."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import ctypes
import errno
import fcntl
import os
import socket
import struct

# PyDLL keeps the interpreter lock across a call: a child made by clone must find it held by its only thread.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_CLONE = {"x86_64": 56, "aarch64": 220}
SIGNAL_INFORMATION_BYTES = 128  # a signalfd_siginfo
_SIGNAL_SET_BYTES = 128  # a sigset_t of the C library
_OPENAT2 = 437
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_SIGCHLD = 17
NAMESPACES = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "cgroup": 0x02000000,
    "net": 0x40000000,
}
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_SECCOMP_MODE_FILTER = 2
_BPF_INSTRUCTION_BYTES = 8
_CAPABILITY_VERSION_3 = 0x20080522
_HIGHEST_CAPABILITY = 63
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x04, 0x08
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def clone_into_namespaces() -> int:
    """Fork into new namespaces of every kind: 0 in the child, which is PID 1 there.

    The interpreter's own after-fork work is skipped: it has one thread, and programs are forked again the usual way.
    """
    flags = _SIGCHLD
    for flag in NAMESPACES.values():
        flags |= flag
    number = _CLONE[os.uname().machine]
    return _checked("clone", _call(number, flags, 0, 0, 0, 0))


def mount_tmpfs(path: str, mode: str, size_bytes: int, inodes: int) -> None:
    """A new empty file system on ``path``, with a size and a number of files."""
    options = f"mode={mode},size={size_bytes},nr_inodes={inodes}".encode()
    done = _libc.mount(b"tmpfs", path.encode(), b"tmpfs", MS_NOSUID | MS_NODEV, options)
    _checked(f"mount tmpfs on {path}", done)


def mount_proc(path: str) -> None:
    """The processes of this PID namespace."""
    done = _libc.mount(b"proc", path.encode(), b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    _checked("mount proc", done)


def raise_loopback() -> None:
    """A new network namespace has a loopback interface, and it is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("h", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def set_dumpable(value: int) -> None:
    """Whether processes of the same user may trace this one and read its memory."""
    _checked("prctl dumpable", _libc.prctl(_PR_SET_DUMPABLE, value, 0, 0, 0))


def set_name(name: str) -> None:
    """What ps and top show for this process."""
    _checked("prctl name", _libc.prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0))


def child_signals() -> int:
    """A descriptor that can be read when a child has ended. SIGCHLD comes no other way from now on."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
    mask = (1 << _signal.SIGCHLD - 1).to_bytes(_SIGNAL_SET_BYTES, "little")
    return _checked("signalfd", _libc.signalfd(-1, ctypes.c_char_p(mask), os.O_CLOEXEC | os.O_NONBLOCK))


def become_subreaper() -> None:
    """Be given what descendants leave behind, as PID 1 is."""
    _checked("prctl subreaper", _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def drop_capabilities() -> None:
    """None left, none to be gained."""
    _checked("prctl no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    for capability in range(_HIGHEST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one this kernel has
    _checked("prctl ambient", _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    header, none = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24)
    _checked("capset", _libc.capset(header, none))


def load_filter(program: bytes) -> None:
    """Put this process, and all it will fork, under a seccomp filter given as classic BPF."""
    instructions = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HxxxxxxP", len(program) // _BPF_INSTRUCTION_BYTES, ctypes.addressof(instructions))
    done = _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(description), 0, 0)
    _checked("prctl seccomp", done)


def landlock_abi() -> int:
    """The version of Landlock this kernel has; 0 where it has none."""
    flags_version = 1
    return max(0, _call(_LANDLOCK_CREATE, 0, 0, flags_version))


def landlock_restrict(handled: tuple[int, int, int], allowed: list[tuple[str, int]]) -> None:
    """Only what ``allowed`` says, of what is handled (rights on files, on TCP, scopes), from now on.

    Paths that do not exist are passed over. A right that only folders have is dropped from a rule on a file.
    """
    attributes = struct.pack("QQQ", *handled)
    ruleset = _checked("landlock", _call(_LANDLOCK_CREATE, attributes, len(attributes), 0))
    try:
        for path, rights in allowed:
            _landlock_allow(ruleset, path, rights & handled[0])
        _checked("landlock restrict", _call(_LANDLOCK_RESTRICT, ruleset, 0))
    finally:
        os.close(ruleset)


def _landlock_allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EACCES}:
            return
        raise
    try:
        beneath = struct.pack("=Qi", rights, descriptor)
        _checked(f"landlock {path}", _call(_LANDLOCK_ADD, ruleset, 1, beneath, 0))
    finally:
        os.close(descriptor)


def open_beneath(folder: int, path: str, flags: int, mode: int = 0) -> int:
    """Open ``path`` below ``folder`` without ever following a link or leaving it (openat2)."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)
    return _checked("openat2", _call(_OPENAT2, folder, os.fsencode(path), how, len(how)))


def _call(number: int, *arguments: int | bytes) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    return result
