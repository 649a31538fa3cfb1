from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.sandbox_service import Service, running_sandbox, sandbox_under_test

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def sandbox_without_cgroups() -> Iterator[Service]:
    """The tier of a host whose control groups are not the service's to make."""
    with running_sandbox(ASTROLABE_SANDBOX_CGROUPS="off") as service:
        yield service


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Service]:
    with sandbox_under_test() as service:
        yield service
