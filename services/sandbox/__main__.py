"""``python -m sandbox`` serves; ``python -m sandbox check`` says whether this host can confine a program."""

from __future__ import annotations

import argparse
import asyncio
import sys

from kit import log
from kit.settings import load_settings
from kit.web import serve
from sandbox.app import build_app
from sandbox.confinement import Confinement
from sandbox.jail.faults import CannotConfineError
from sandbox.settings import SandboxSettings

TOLD = ("backend", "backend_version", "tier", "host_uid", "landlock_abi", "memory", "proc", "python")


def main() -> int:
    """Run the command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["serve", "check"], default="serve")
    command = parser.parse_args().command
    settings = load_settings(SandboxSettings)
    log.configure(settings, "sandbox")
    if command == "check":
        return asyncio.run(check(settings))
    serve(build_app(settings), settings.sandbox_host, settings.sandbox_port)
    return 0


async def check(settings: SandboxSettings) -> int:
    """Print whether a probe jail held, and if not what to do: 0 or 1."""
    confinement = Confinement(settings)
    try:
        await confinement.check()
        facts = confinement.describe()
    except CannotConfineError as fault:
        sys.stdout.write(f"sandbox: cannot confine: {fault.reason}\nremedy: {fault.remedy}\n")
        return 1
    finally:
        await confinement.close()
    told = ", ".join(f"{name} {facts[name]}" for name in TOLD)
    sys.stdout.write(f"sandbox: this host can confine ({told})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
