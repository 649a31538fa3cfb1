"""Which Python runs in the jail: one that the jail's own uid can execute, found by executing it as that uid."""

from __future__ import annotations

import base64
import json
import marshal
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
_QUESTION = (
    "import json, sys; print(json.dumps([sys.executable, sys.prefix, sys.base_prefix, list(sys.version_info[:3])]))"
)
# Compiles modules and packs them uncompressed: the template imports them once, by zipimport.
_PACK = """
import base64, importlib.util, io, json, marshal, sys, zipfile
sources, packed = json.load(sys.stdin), io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    for name, source in sources.items():
        code = compile(source, name, "exec")
        archive.writestr(name + "c", importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code))
sys.stdout.write(base64.b64encode(packed.getvalue()).decode())
"""
_GUEST = Path(__file__).parent.parent / "guest"
_TIMEOUT_SECONDS = 20
_COVERED = ("/tmp", "/box", "/dev", "/proc")  # noqa: S108


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable, the folder trees it needs (a virtual environment's and its base's), and its version."""

    executable: Path
    prefixes: tuple[Path, ...]
    version: tuple[int, int, int]

    def outside_usr(self) -> list[Path]:
        """The trees that must be shown to the jail besides /usr."""
        return [prefix for prefix in self.prefixes if not prefix.is_relative_to("/usr")]


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


def pack_guest(interpreter: Interpreter, account: Account) -> bytes:
    """The guest as an archive of modules compiled by ``interpreter``."""
    sources = {f"sandbox/guest/{path.name}": path.read_text() for path in sorted(_GUEST.glob("*.py"))}
    sources |= {"sandbox/__init__.py": "", "__main__.py": sources["sandbox/guest/__main__.py"]}
    packed = subprocess.run(
        [interpreter.executable, "-I", "-c", _PACK],
        input=json.dumps(sources).encode(), check=True, capture_output=True, timeout=_TIMEOUT_SECONDS, cwd="/", env={},
        **account.popen_arguments(),
    )  # fmt: skip
    return base64.b64decode(packed.stdout)


def guest_sources() -> bytes:
    """The guest as a marshalled dictionary of sources by module name, for an interpreter that is not here."""
    sources = {f"sandbox.guest.{path.stem}": path.read_text() for path in _GUEST.glob("*.py") if path.stem[0] != "_"}
    return marshal.dumps({"sandbox": "", "sandbox.guest": "", **sources}, 2)


def _candidates() -> list[Path]:
    # The interpreter a virtual environment was made from: the environment itself holds the service's code.
    own: str = getattr(sys, "_base_executable", sys.executable)
    return [Path(own), SYSTEM_PYTHON]


def _ask(executable: Path, account: Account) -> Interpreter | str:
    """The interpreter as it describes itself when run by ``account``, or why it could not be run."""
    try:
        answer = subprocess.run(
            [executable, "-I", "-c", _QUESTION],
            check=True, capture_output=True, timeout=_TIMEOUT_SECONDS, cwd="/", env={}, **account.popen_arguments(),
        )  # fmt: skip
        executable_path, prefix, base_prefix, version = json.loads(answer.stdout)
        major, minor, micro = map(int, version)
    except subprocess.CalledProcessError as error:
        said: bytes = error.stderr
        return (said.decode(errors="replace").strip().splitlines() or ["failed"])[-1]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return str(error)
    if (major, minor) < OLDEST:
        return f"is Python {major}.{minor}, older than {OLDEST[0]}.{OLDEST[1]}"
    base = Path(base_prefix).resolve()
    if any(path.is_relative_to(covered) for path in (Path(prefix), base) for covered in _COVERED):
        return f"lies in a folder the jail covers with its own ({', '.join(_COVERED)}); move it"
    if prefix == base_prefix:
        return Interpreter(Path(executable_path).resolve(), (base,), (major, minor, micro))
    # A virtual environment is known by the folder its executable is in: the link itself must not be followed.
    return Interpreter(Path(executable_path), (Path(prefix), base), (major, minor, micro))
