"""``python -m devstack up | demo | stores | status | down | prepare``."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from pathlib import Path  # noqa: TC003
from typing import Annotated

import typer

from devstack import demo as demonstration
from devstack import status as report
from devstack.host import ensure_bubblewrap
from devstack.launch import Stack
from devstack.parts import SERVICES, STORE_VARIABLES
from devstack.session import session
from devstack.settings import DevstackSettings
from devstack.stores.account import existing_account
from devstack.stores.folder import choose_folder, holder_of
from devstack.stores.ports import free_ports
from devstack.stores.survivors import wait_for_exit
from devstack.tether import tie_to_parent
from kit.settings import load_settings

DOWN_SECONDS = 45.0

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Astrolabe on this machine, for development.")
Tied = Annotated[bool, typer.Option("--tied", help="Stop when the process that started this one dies.")]


@app.command()
def up(*, tied: Tied = False) -> None:
    """Run stores and all services until Ctrl-C; a part that dies is restarted."""
    _tie(tied)
    settings = load_settings(DevstackSettings)
    with session() as run:
        ensure_bubblewrap(run.say)
        folder = run.folder(settings)
        run.say(f"data and logs are in {folder}")
        ports = {service: int(getattr(settings, f"{service}_port")) for service in SERVICES}
        with run.stores(settings, folder) as stores:
            run.say("Postgres and Redis answer")
            with Stack(stores, ports, run.signals, run.say) as stack:
                sys.stdout.write(report.addresses(stack.addresses, folder))
                sys.stdout.flush()
                stack.serve_until_stopped()


@app.command()
def demo(*, tied: Tied = False) -> None:
    """Run one real plan and one real episode on a stack of its own, then stop everything."""
    _tie(tied)
    settings = load_settings(DevstackSettings)
    with session() as run:
        ensure_bubblewrap(run.say)
        folder = run.folder(settings) / "demo"
        with run.stores(settings, folder) as stores:
            run.say("Postgres and Redis answer")
            ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))
            with Stack(stores, ports, run.signals, run.say) as stack:
                demonstration.show(stack)


@app.command()
def stores(
    *,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for the data; default: ASTROLABE_DATA_DIR or .local")
    ] = None,
    until_exit_of: Annotated[int | None, typer.Option(help="Stop when this process ends.")] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Fast, and the folder is removed at the end.")] = False,
) -> None:
    """Run only Postgres and Redis until Ctrl-C, and print their addresses."""
    settings = load_settings(DevstackSettings)
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    with session() as run:
        folder = run.folder(settings)
        try:
            with run.stores(settings, folder, durable=not ephemeral) as running:
                for name, url in zip(STORE_VARIABLES, (running.database_url, running.redis_url), strict=True):
                    sys.stdout.write(f"export {name}={shlex.quote(url)}\n")
                sys.stdout.flush()
                while until_exit_of is None or not wait_for_exit(until_exit_of, 0):
                    for name in running.revive():
                        run.say(f"{name} had died; it runs again on its data")
                    run.signals.pause(0.2)
        finally:
            if ephemeral:
                shutil.rmtree(folder, ignore_errors=True)


@app.command()
def status() -> None:
    """Show what runs on the data folder, and where."""
    sys.stdout.write(report.running(_folder()))


@app.command()
def down() -> None:
    """Stop the launcher that runs on the data folder, from another terminal."""
    folder = _folder()
    pid = holder_of(folder)
    if pid is None:
        sys.stdout.write(f"nothing runs on {folder}\n")
        return
    os.kill(pid, signal.SIGTERM)
    if not wait_for_exit(pid, DOWN_SECONDS):
        sys.stderr.write(f"error: the launcher, process {pid}, has not ended after {DOWN_SECONDS:.0f} s\n")
        raise typer.Exit(1)
    sys.stdout.write(f"stopped the launcher, process {pid}, and everything it ran\n")


@app.command()
def prepare() -> None:
    """Install the system packages the sandbox needs, or name the command that does."""
    with session() as run:
        ensure_bubblewrap(run.say)


def _folder() -> Path:
    settings = load_settings(DevstackSettings)
    return choose_folder(settings.data_dir, existing_account())


def _tie(tied: bool) -> None:
    if tied:
        tie_to_parent(signal.SIGTERM, os.getppid())
