"""The seccomp filter of a jail: everything a scientific program has no business asking the kernel answers an errno.

A deny list that answers errors, not an allow list that kills: libraries probe for system calls and fall back, and an
allow list breaks them with every release. What namespaces do not cover is closed here. Every rule on a 32-bit argument
masks the upper half, which the kernel ignores and a 64-bit comparison would not (CVE-2019-10063).
"""

from __future__ import annotations

import errno
import functools
import tempfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

# Grouped by why. Namespaces, mounts and the like are what the jail itself is made of.
DENIED = {
    "namespaces": (
        "unshare", "setns",
    ),
    "mounts": (
        "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick", "open_tree",
        "move_mount", "mount_setattr", "swapon", "swapoff", "name_to_handle_at", "open_by_handle_at",
    ),
    "other processes": (
        "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    ),
    "key rings": (
        "keyctl", "add_key", "request_key",
    ),
    "kernel surface": (
        "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
        "modify_ldt", "personality", "lookup_dcookie", "fanotify_init", "fanotify_mark", "vhangup", "syslog",
        "uselib", "ustat", "sysfs", "vmsplice",
    ),
    "the machine": (
        "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "acct",
        "quotactl", "iopl", "ioperm", "sethostname", "setdomainname", "settimeofday", "clock_settime",
        "clock_adjtime", "adjtimex", "nfsservctl",
    ),
    "memory placement": (
        "mbind", "set_mempolicy", "migrate_pages", "move_pages",
    ),
}  # fmt: skip
# Newer than some libseccomp releases know by name; numbers from 424 on are the same on every architecture.
DENIED_BY_NUMBER = {
    "quotactl_fd": 443,
    "memfd_secret": 447,
    "process_mrelease": 448,
    "set_mempolicy_home_node": 450,
    "statmount": 457,
    "listmount": 458,
    "lsm_set_self_attr": 460,
    "open_tree_attr": 467,
}
NAMESPACE_FLAGS = {
    "CLONE_NEWNS": 0x00020000,
    "CLONE_NEWCGROUP": 0x02000000,
    "CLONE_NEWUTS": 0x04000000,
    "CLONE_NEWIPC": 0x08000000,
    "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000,
    "CLONE_NEWNET": 0x40000000,
}
# Pushing characters into the terminal's input, and its console-only twin.
TERMINAL_INJECTION = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
# What the template needs to make jails: their own filter, loaded after, takes it away again.
TEMPLATE_MAY = frozenset({"mount"})
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
LOW_HALF = 0xFFFFFFFF


class SeccompUnavailableError(Exception):
    """libseccomp is missing or cannot make the filter."""


@functools.cache
def compile_filter(*, for_template: bool = False) -> bytes:
    """The filter as a classic BPF program, for the architecture this runs on.

    ``for_template``: the template's filter, which still allows new namespaces and mounts.
    """
    try:
        import pyseccomp  # noqa: PLC0415 - it raises at import where libseccomp is missing
    except (ImportError, RuntimeError, OSError) as error:
        raise SeccompUnavailableError(str(error)) from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    # Calls through another ABI (int 0x80, x32) would have other numbers: none exists in the jail.
    rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ERRNO(errno.ENOSYS))
    # Its flags are behind a pointer no filter can read; ENOSYS makes the C library fall back to clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    _deny_calls(pyseccomp, rules, TEMPLATE_MAY if for_template else frozenset())
    _deny_arguments(pyseccomp, rules, {} if for_template else NAMESPACE_FLAGS)
    _deny_families(pyseccomp, rules)
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _deny_calls(pyseccomp: ModuleType, rules: Any, left_out: frozenset[str]) -> None:
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for name in (name for group in DENIED.values() for name in group if name not in left_out):
        # A name the architecture does not have resolves to a negative number, and cannot be called either.
        if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) >= 0:
            rules.add_rule(refuse, name)
    for number in DENIED_BY_NUMBER.values():
        rules.add_rule(refuse, number)


def _deny_arguments(pyseccomp: ModuleType, rules: Any, clone_flags: dict[str, int]) -> None:
    refuse = pyseccomp.ERRNO(errno.EPERM)
    for flag in clone_flags.values():
        rules.add_rule(refuse, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    for request in TERMINAL_INJECTION.values():
        rules.add_rule(refuse, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, LOW_HALF, request))
    # The limits of another process, PID 1 say, which has the program's uid.
    rules.add_rule(refuse, "prlimit64", pyseccomp.Arg(0, pyseccomp.NE, 0))


def _deny_families(pyseccomp: ModuleType, rules: Any) -> None:
    """Leave the families the network namespace confines: UNIX, IPv4 and IPv6. Netlink, vsock and the rest go."""
    refuse = pyseccomp.ERRNO(errno.EAFNOSUPPORT)
    for call in ("socket", "socketpair"):
        rules.add_rule(refuse, call, pyseccomp.Arg(0, pyseccomp.GT, AF_INET6))
        for family in sorted(set(range(AF_INET6)) - {AF_UNIX, AF_INET}):
            rules.add_rule(refuse, call, pyseccomp.Arg(0, pyseccomp.EQ, family))
