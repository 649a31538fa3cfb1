"""``tooling/install`` and ``make`` where something is missing. A whole installation is what CI does first."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "tooling").mkdir()
    for name in ("tooling/install", "requirements.lock", "pyproject.toml", "Makefile"):
        shutil.copy2(CHECKOUT / name, tmp_path / name)
    return tmp_path


def fake_python(folder: Path, *, able: str) -> str:
    """An interpreter that runs only code in which ``able`` occurs."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\ncase "$*" in *"{able}"*) echo "$0"; exit 0 ;; *) exit 1 ;; esac\n')
    path.chmod(0o755)
    return str(path)


def install(clone: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        [clone / "tooling" / "install"], capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def test_make_alone_lists_the_commands(clone: Path) -> None:
    listed = subprocess.run(["make"], cwd=clone, capture_output=True, text=True, check=True).stdout
    for command in ("help", "demo", "up", "install", "test", "check"):
        assert f"make {command}" in listed
    assert not (clone / ".venv").exists()


def test_a_python_that_does_not_fit_is_refused_by_name(clone: Path) -> None:
    refused = install(clone, PYTHON="/bin/false")
    assert refused.returncode == 1
    assert "PYTHON=/bin/false is not CPython 3.11 or 3.12" in refused.stderr


def test_without_a_python_the_way_to_one_is_named(clone: Path) -> None:
    tools = clone / "bin"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "cat", "sha256sum", "cut", "id", "grep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    refused = install(clone, PATH=str(tools))
    assert refused.returncode == 1
    assert "sudo apt-get install python3 python3-venv" in refused.stderr


def test_a_python_without_its_venv_module_is_explained(clone: Path, tmp_path: Path) -> None:
    """As on Debian without python3-venv, for a user who may not install it."""
    tools = clone / "bin"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "cat", "sha256sum", "cut", "id", "grep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    python = fake_python(tmp_path, able="sys")
    refused = install(clone, PATH=str(tools), PYTHON=python)
    assert refused.returncode == 1
    assert "cannot make virtual environments; run: sudo apt-get update && sudo apt-get install" in refused.stderr
