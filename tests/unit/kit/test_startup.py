from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from kit.startup import loading


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """What the tests of this process made is swept again."""
    yield
    gc.unfreeze()


def test_the_collector_rests_while_modules_load_and_goes_on_after() -> None:
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_goes_on_after_a_module_that_cannot_be_loaded() -> None:
    with pytest.raises(ModuleNotFoundError), loading():
        raise ModuleNotFoundError
    assert gc.isenabled()
