from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from kit.canonical import sha256

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value: object, chance: random.Random) -> object:
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {key: shuffled(item, chance) for key, item in items}
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    return value


@given(JSON, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(value: object, chance: random.Random) -> None:
    assert sha256(shuffled(value, chance)) == sha256(value)


def test_a_change_anywhere_changes_the_fingerprint() -> None:
    assert sha256({"a": [1, {"b": 2}]}) != sha256({"a": [1, {"b": 3}]})
