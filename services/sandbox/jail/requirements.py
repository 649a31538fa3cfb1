"""Whether this host can confine a run: found out by confining one and looking from the inside."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.jail.account import jail_account
from sandbox.jail.arguments import Layout
from sandbox.jail.cgroup import open_cgroups
from sandbox.jail.faults import CannotConfineError
from sandbox.jail.interpreter import find_interpreter, pack_guest
from sandbox.jail.jailer import Jailer
from sandbox.jail.seccomp import SeccompUnavailableError, compile_filter
from sandbox.jail.template import Filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.jail.cgroup import CGroups
    from sandbox.settings import SandboxSettings

# Looks at the jail from the inside. A library call is answered by errno; what may not work is named in the answer.
PROBE = """
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
holes = []

def hole(name, allowed):
    if allowed:
        holes.append(name)

def can_write(path):
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError:
        return False
    return True

def has_family(family):
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True

def leaves(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.connect_ex((address, 9)) == 0

hole("the kernel's core_pattern is writable", can_write("/proc/sys/kernel/core_pattern"))
hole("the root folder is writable", can_write("/probe"))
hole("/dev is writable", can_write("/dev/probe"))
hole("there is a way to the network", leaves("192.0.2.1"))
hole("netlink sockets work", has_family(16))
hole("nested user namespaces work", libc.unshare(0x10000000) == 0)
hole("no seccomp filter is active", libc.prctl(21, 0, 0, 0, 0) != 2)
hole("new privileges can be gained", libc.prctl(39, 0, 0, 0, 0) != 1)
hole("the jail runs as root", 0 in (os.getuid(), os.geteuid(), os.getgid()))
final_answer(holes)
"""

_PROFILE = "deploy/seccomp-sandbox.json"
# A part of what bubblewrap or the kernel says, and what helps.
_REMEDIES = {
    "Can't mount proc": "unmask /proc (security_opt: systempaths=unconfined), or let the sandbox go without",
    "No permissions to create": f"in a container: run it under {_PROFILE} and as a user other than root",
    "Creating new namespace failed": "sysctl kernel.unprivileged_userns_clone=1, and user.max_user_namespaces above 0",
    "setting up uid map": "run the container as a user other than root; on Ubuntu give bwrap an AppArmor profile, or "
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    "pivot_root": f"allow pivot_root: run the container under {_PROFILE}",
    "slave: Operation not permitted": f"allow mount: run the container under {_PROFILE}",
    "slave: Permission denied": "use an AppArmor profile without `deny mount` (security_opt: apparmor=unconfined)",
    "Operation not permitted": f"run the service as a user other than root, in a container under {_PROFILE}",
}


def remedy_for(fault: str) -> str:
    """What an operator can do about what bubblewrap said."""
    for sign, remedy in _REMEDIES.items():
        if sign in fault:
            return remedy
    return "see `python -m sandbox check` and the bubblewrap manual"


def prepare_jailer(settings: SandboxSettings, *, fresh_proc: bool, cgroups: CGroups | None) -> Jailer:
    """Everything a jail is made with, short of trying it. Raises :class:`CannotConfineError` for a missing part."""
    account = jail_account(settings.sandbox_uid)
    bubblewrap, version = _bubblewrap(settings.sandbox_bubblewrap)
    interpreter = find_interpreter(settings.sandbox_python, account)
    layout = Layout(
        bubblewrap,
        interpreter,
        pack_guest(interpreter, account),
        fresh_proc,
        settings.sandbox_landlock != "off",
        tuple(settings.sandbox_preload),
        settings.sandbox_tmp_bytes,
        settings.sandbox_shm_bytes,
        settings.sandbox_inodes,
    )
    return Jailer(
        layout,
        account,
        _filters(),
        cgroups,
        bubblewrap_version=version,
        start_seconds=settings.sandbox_start_seconds,
        template_jails=settings.sandbox_template_jails,
    )


def check_tier(isolation: Mapping[str, object], settings: SandboxSettings) -> None:
    """Raise :class:`CannotConfineError` when a layer the settings require is missing."""
    if settings.sandbox_landlock == "required" and not isolation["landlock_abi"]:
        raise CannotConfineError(
            "the kernel has no Landlock", "boot with lsm=landlock,..., or ASTROLABE_SANDBOX_LANDLOCK=auto"
        )
    if settings.sandbox_least_tier == "hardened" and isolation["tier"] != "hardened":
        missing = [
            name
            for name, absent in (
                ("control groups", isolation["memory"] == "rlimit"),
                ("Landlock", not isolation["landlock_abi"]),
            )
            if absent
        ]
        raise CannotConfineError(
            f"the least tier wanted is hardened, and this host lacks {' and '.join(missing)}",
            "security_opt: writable-cgroups=true on cgroup v2, a kernel with Landlock, or "
            "ASTROLABE_SANDBOX_LEAST_TIER=standard",
        )


def prepare_cgroups(settings: SandboxSettings) -> CGroups | None:
    """The service's control groups, as the setting wants them."""
    if settings.sandbox_cgroups == "off":
        return None
    opened = open_cgroups()
    if not isinstance(opened, str):
        return opened
    if settings.sandbox_cgroups == "required":
        raise CannotConfineError(
            f"no control group can be made ({opened})",
            "security_opt: writable-cgroups=true, or ASTROLABE_SANDBOX_CGROUPS=auto",
        )
    return None


def _bubblewrap(name: str) -> tuple[Path, str]:
    found = shutil.which(name)
    if found is None:
        raise CannotConfineError(f"bubblewrap ({name}) is not installed", "apt-get install bubblewrap")
    answer = subprocess.run([found, "--version"], check=False, capture_output=True, text=True)
    program, _, version = answer.stdout.strip().partition(" ")
    if program != "bubblewrap":
        raise CannotConfineError(f"{found} is not bubblewrap", "apt-get install bubblewrap")
    return Path(found), version


def _filters() -> Filters:
    try:
        return Filters(template=compile_filter(for_template=True), jail=compile_filter())
    except SeccompUnavailableError as error:
        raise CannotConfineError(f"no seccomp filter can be made ({error})", "apt-get install libseccomp2") from error
