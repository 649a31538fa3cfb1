"""Make ``deploy/seccomp-sandbox.json``, the profile of the sandbox's container.

An allow list in Docker's format. It starts from what Docker's default profile leaves a container without capabilities
(https://docs.docker.com/engine/security/seccomp/), adds the calls bubblewrap cannot do without (clone with any flags,
unshare, mount, umount2, pivot_root: taking any one away makes it fail), and takes away what neither the service nor a
jail needs: tracing, key rings, io_uring, memfd_secret, and every socket family but UNIX, IPv4, IPv6 and netlink, which
bubblewrap raises the jail's loopback with. The jail's own filter then takes the five away again.
"""

# ruff: noqa: INP001 - a script, run by hand

from __future__ import annotations

import json
from pathlib import Path

import pyseccomp

from sandbox.jail.seccomp import DENIED, DENIED_BY_NUMBER

PROFILE = Path(__file__).with_name("seccomp-sandbox.json")
NEEDED_BY_BUBBLEWRAP = ("clone", "unshare", "mount", "umount2", "pivot_root")
# Beyond what a jail is refused: made for machines, not for containers, or behind a pointer no filter can read.
ALSO_REFUSED = {
    "umount", "clone3", "socket", "vm86", "vm86old", "stime", "get_mempolicy", "create_module",
    "get_kernel_syms", "query_module", "_sysctl", "afs_syscall", "security", "tuxcall", "getpmsg", "putpmsg",
    "epoll_ctl_old", "epoll_wait_old", "vserver",
}  # fmt: skip
# Harmless and newer than some libseccomp releases.
NEWER = ("cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait", "futex_requeue", "mseal")
ARCHITECTURES = {"SCMP_ARCH_X86_64": pyseccomp.Arch.X86_64, "SCMP_ARCH_AARCH64": pyseccomp.Arch.AARCH64}
HIGHEST_NUMBER = 470
FAMILIES = (1, 2, 10, 16)


def profile() -> dict[str, object]:
    """The profile as Docker reads it."""
    refused = {name for group in DENIED.values() for name in group} | set(DENIED_BY_NUMBER) | ALSO_REFUSED
    allowed = (_names() | set(NEWER)) - refused | set(NEEDED_BY_BUBBLEWRAP)
    families = [
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": family, "op": "SCMP_CMP_EQ"}],
        }
        for family in FAMILIES
    ]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": [
            {"names": sorted(allowed), "action": "SCMP_ACT_ALLOW"},
            *families,
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }


def _names() -> set[str]:
    """Every call libseccomp knows on the architectures served."""
    names = set()
    for architecture in ARCHITECTURES.values():
        for number in range(HIGHEST_NUMBER):
            try:
                names.add(pyseccomp.resolve_syscall(architecture, number).decode())
            except ValueError:
                continue
    return names


if __name__ == "__main__":
    PROFILE.write_text(json.dumps(profile(), indent=2) + "\n")
