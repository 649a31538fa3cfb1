from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kit.setting_names import unknown_settings


def test_the_settings_of_every_part_are_known() -> None:
    known = ["ASTROLABE_LEASE_SECONDS", "astrolabe_log_level", "ASTROLABE_SANDBOX_TOKEN", "ASTROLABE_API_KEY"]
    assert unknown_settings([*known, "ASTROLABE_SECRET_HOUSE", "PATH", "_ASTROLABE_COMPLETE"]) is None


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ASTROLABE_LAESE_SECONDS", "did you mean ASTROLABE_LEASE_SECONDS?"),
        ("astrolabe_databse_url", "did you mean ASTROLABE_DATABASE_URL?"),
        ("ASTROLABE_SANDBOX_TOKENS", "did you mean ASTROLABE_SANDBOX_TOKEN?"),
        ("ASTROLABE_X", "docs/settings.md lists those there are"),
    ],
)
def test_a_misspelt_one_is_told_with_the_nearest(name: str, remedy: str) -> None:
    assert unknown_settings([name]) == f"{name.upper()} is no setting and is ignored: {remedy}"


def test_start_up_warns_in_one_line_without_the_value_and_goes_on() -> None:
    program = (
        "from kit import log; from kit.settings import Settings; log.configure(Settings(), 'toy'); print('goes on')"
    )
    environment = os.environ | {"ASTROLABE_REDIS_PASWORD": "hunter2", "ASTROLABE_LEASE": "hunter2"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "goes on\n"
    [line] = result.stderr.splitlines()
    assert "warning" in line
    assert "ASTROLABE_LEASE is no setting and is ignored" in line
    assert "did you mean ASTROLABE_REDIS_PASSWORD?" in line
    assert "hunter2" not in line
