from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.launcher import reachable_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder the store user can reach."""
    with reachable_folder() as path:
        yield path
