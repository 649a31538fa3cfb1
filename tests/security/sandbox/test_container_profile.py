"""The container's seccomp profile, applied to the real service without a container: enough, and no more than enough."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.launcher import CHECKOUT, clean_environment

from sandbox.jail.seccomp import DENIED, DENIED_BY_NUMBER

PROFILE = CHECKOUT / "deploy" / "seccomp-sandbox.json"
NEEDED = ["clone", "unshare", "mount", "umount2", "pivot_root"]
# Loads the profile as a container engine would, less the calls named, and becomes `python -m sandbox check`.
CONFINED_CHECK = """
import json, os, sys
import pyseccomp as s
profile, left_out = json.load(open(sys.argv[1])), sys.argv[2:]
rules = s.SyscallFilter(s.ERRNO(profile["defaultErrnoRet"]))
for entry in profile["syscalls"]:
    action = s.ALLOW if entry["action"] == "SCMP_ACT_ALLOW" else s.ERRNO(entry["errnoRet"])
    arguments = [s.Arg(a["index"], s.EQ, a["value"]) for a in entry.get("args", [])]
    for name in entry["names"]:
        if name in left_out and name == "clone":  # threads and processes remain, namespaces do not
            rules.add_rule(s.ALLOW, name, s.Arg(0, s.MASKED_EQ, 0x7E020000, 0))
        elif name not in left_out and s.resolve_syscall(s.system_arch(), name) >= 0:
            rules.add_rule(action, name, *arguments)
rules.load()
os.execv(sys.executable, [sys.executable, "-m", "sandbox", "check"])
"""


def _check(*left_out: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CONFINED_CHECK, str(PROFILE), *left_out],
        env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_sandbox_confines_under_the_profile() -> None:
    ended = _check()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "this host can confine" in ended.stdout


@pytest.mark.parametrize("call", NEEDED)
def test_without_any_of_the_five_it_refuses(call: str) -> None:
    ended = _check(call)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "cannot confine" in ended.stdout
    assert "deploy/seccomp-sandbox.json" in ended.stdout


def test_the_profile_allows_nothing_a_jail_is_refused_but_the_five() -> None:
    profile = json.loads(Path(PROFILE).read_text())
    allowed = {name for entry in profile["syscalls"] if entry["action"] == "SCMP_ACT_ALLOW" for name in entry["names"]}
    refused = {name for group in DENIED.values() for name in group} | set(DENIED_BY_NUMBER)
    assert allowed & refused == set(NEEDED) - {"clone"}
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
