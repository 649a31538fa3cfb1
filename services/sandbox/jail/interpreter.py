"""Which Python runs in the jail: one that the jail's own uid can execute, found by executing it as that uid."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.jail.faults import CannotConfineError

if TYPE_CHECKING:
    from sandbox.jail.account import Account

SYSTEM_PYTHON = Path("/usr/bin/python3")
OLDEST = (3, 9)
_QUESTION = "import json, sys; print(json.dumps([sys.executable, sys.base_prefix, sys.version_info[:3]]))"
_COMPILE = """
import importlib.util, marshal, sys
code = compile(sys.stdin.buffer.read(), "guest.py", "exec")
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))
"""
_GUEST = Path(__file__).parent.parent / "guest.py"
_TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable, the folder tree it needs, and its version."""

    executable: Path
    prefix: Path
    version: tuple[int, int, int]


def find_interpreter(chosen: Path | None, account: Account) -> Interpreter:
    """The first candidate ``account`` can run: the one chosen, or the service's own base interpreter, or Debian's.

    Raises :class:`CannotConfineError` when there is none.
    """
    faults = []
    for candidate in [chosen] if chosen else _candidates():
        answer = _ask(candidate, account)
        if isinstance(answer, Interpreter):
            return answer
        faults.append(f"{candidate}: {answer}")
    raise CannotConfineError(
        f"no Python interpreter that uid {account.uid} can run ({'; '.join(faults)})",
        "apt-get install python3, or set ASTROLABE_SANDBOX_PYTHON to an interpreter outside private folders",
    )


def compile_guest(interpreter: Interpreter, account: Account) -> bytes:
    """The guest as ``interpreter`` caches modules, so that no run pays for compiling it."""
    compiled = subprocess.run(
        [interpreter.executable, "-I", "-S", "-c", _COMPILE],
        input=_GUEST.read_bytes(), check=True, capture_output=True, timeout=_TIMEOUT_SECONDS, cwd="/", env={},
        **account.popen_arguments(),
    )  # fmt: skip
    return compiled.stdout


def _candidates() -> list[Path]:
    # The interpreter a virtual environment was made from: the environment itself holds the service's code.
    own: str = getattr(sys, "_base_executable", sys.executable)
    return [Path(own), SYSTEM_PYTHON]


def _ask(executable: Path, account: Account) -> Interpreter | str:
    """The interpreter as it describes itself when run by ``account``, or why it could not be run."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-S", "-c", _QUESTION],
            check=True, capture_output=True, timeout=_TIMEOUT_SECONDS, cwd="/", env={}, **account.popen_arguments(),
        )  # fmt: skip
        executable_path, prefix, version = json.loads(answer.stdout)
        major, minor, micro = map(int, version)
    except subprocess.CalledProcessError as error:
        said: bytes = error.stderr
        return (said.decode(errors="replace").strip().splitlines() or ["failed"])[-1]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return str(error)
    if (major, minor) < OLDEST:
        return f"is Python {major}.{minor}, older than {OLDEST[0]}.{OLDEST[1]}"
    return Interpreter(Path(executable_path).resolve(), Path(prefix).resolve(), (major, minor, micro))
