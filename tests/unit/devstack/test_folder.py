from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devstack.errors import DevstackError
from devstack.stores.folder import CHECKOUT, DataFolder, choose_folder, holder_of, make_folder, read_state

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_gets_its_mode_whatever_the_umask_and_keeps_it_later(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_folder(tmp_path / "new" / "deep", 0o755)
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new" / "deep").stat().st_mode & 0o777 == 0o755
    (tmp_path / "new").chmod(0o700)
    make_folder(tmp_path / "new", 0o755)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert holder_of(folder.path) is None
    with folder:
        assert holder_of(folder.path) == os.getpid()
        with pytest.raises(DevstackError, match=f"process id {os.getpid()}"):
            DataFolder(folder.path).acquire()
    assert holder_of(folder.path) is None
    with DataFolder(folder.path):
        pass


def test_the_state_is_there_while_the_folder_is_held(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.write_state({"port": 1})
        folder.write_state({"port": 2})
        assert read_state(tmp_path) == {"port": 2}
    assert read_state(tmp_path) == {}


def test_the_default_is_in_the_checkout(tmp_path: Path) -> None:
    assert choose_folder(None, None) == CHECKOUT / ".local"
    assert choose_folder(tmp_path / "mine", None) == tmp_path / "mine"
