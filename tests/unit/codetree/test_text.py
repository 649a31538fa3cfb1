from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from codetree.text import storable, storable_json


def test_what_postgres_refuses_is_replaced() -> None:
    assert storable("a\0b\ud800c") == "a\ufffdb\ufffdc"


def test_numbers_that_json_lacks_become_text() -> None:
    assert storable_json({"\0": [float("nan"), float("inf"), 1.5]}) == {"\ufffd": ["nan", "inf", 1.5]}


@given(st.text(st.characters()))
def test_everything_else_is_kept_and_can_be_encoded(text: str) -> None:
    kept = storable(text)
    assert len(kept) == len(text)
    assert "\0" not in kept
    assert json.loads(json.dumps(kept).encode()) == kept
