from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codetree.engine.answers import AnswerFormat, AnswerType, WrongAnswerTypeError, canonical, coerce, same

ANY = AnswerFormat()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def equal(left: object, right: object, answer_format: AnswerFormat = ANY) -> bool:
    a, b = canonical(left, answer_format), canonical(right, answer_format)  # type: ignore[arg-type]
    return same(a, b, answer_format.tolerance)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (42, 42.0),
        (42, "42"),
        (0.1 + 0.2, 0.3),
        (1e12, 1e12 + 1),
        ("Lisbon", "  lisbon. "),
        ("New   York", "new york"),
        ("\uff46\uff55\uff4c\uff4c width", "full width"),
        ([1, "A"], '[1.0, "a"]'),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": 1}),
        (True, "True"),
        (None, "null"),
    ],
)
def test_these_are_one_answer(left: object, right: object) -> None:
    assert equal(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (42, 43),
        (1.0, 1.001),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        (True, 1),
        (False, 0),
        (None, 0),
        (None, False),
        ("", None),
        ({"a": 1}, {"b": 1}),
        ("NaN", 0),
        (10**400, 1.5),
    ],
)
def test_these_are_not(left: object, right: object) -> None:
    assert not equal(left, right)


def test_text_that_was_asked_for_stays_text() -> None:
    text = AnswerFormat(AnswerType.STRING)
    assert not equal("7", "7.0", text)
    assert equal("7", "7.0")
    assert not equal("007", "7")


def test_the_tolerance_is_the_tasks() -> None:
    assert equal(10.004, 10.0, AnswerFormat(AnswerType.NUMBER, tolerance=0.001))
    assert not equal(10.004, 10.0)


@given(JSON, JSON)
def test_sameness_is_symmetric(left: object, right: object) -> None:
    assert equal(left, right) == equal(right, left)


@given(JSON)
def test_an_answer_is_itself_and_canonical_form_is_stable(answer: object) -> None:
    assert equal(answer, answer)
    once = canonical(answer, ANY)  # type: ignore[arg-type]
    assert same(once, canonical(once, ANY), 0) or isinstance(answer, str)


@pytest.mark.parametrize(
    ("kind", "given_", "taken"),
    [
        (AnswerType.NUMBER, "1,234.5", 1234.5),
        (AnswerType.NUMBER, 7, 7),
        (AnswerType.INTEGER, 7.0, 7),
        (AnswerType.INTEGER, "-7", -7),
        (AnswerType.STRING, 7, "7"),
        (AnswerType.BOOLEAN, "Yes", True),
        (AnswerType.JSON, [1, None], [1, None]),
    ],
)
def test_answers_are_taken_in_the_asked_form(kind: AnswerType, given_: object, taken: object) -> None:
    result = coerce(given_, AnswerFormat(kind))  # type: ignore[arg-type]
    assert (type(result), result) == (type(taken), taken)


@pytest.mark.parametrize(
    ("kind", "given_"),
    [
        (AnswerType.NUMBER, "soon"),
        (AnswerType.NUMBER, True),
        (AnswerType.NUMBER, None),
        (AnswerType.NUMBER, "nan"),
        (AnswerType.NUMBER, 10**400),
        (AnswerType.INTEGER, 7.5),
        (AnswerType.STRING, ["a"]),
        (AnswerType.BOOLEAN, 1),
        (AnswerType.BOOLEAN, "perhaps"),
    ],
)
def test_answers_in_another_form_are_refused_in_words(kind: AnswerType, given_: object) -> None:
    with pytest.raises(WrongAnswerTypeError, match=f"is not a {kind.value} as the task asks"):
        coerce(given_, AnswerFormat(kind))  # type: ignore[arg-type]


def test_an_answer_is_not_nested_without_end() -> None:
    nested: list[object] = []
    for _ in range(100):
        nested = [nested]
    with pytest.raises(WrongAnswerTypeError, match="deeper than 64 levels"):
        coerce(nested, ANY)  # type: ignore[arg-type]


@given(JSON, st.sampled_from(AnswerType))
def test_whatever_is_taken_is_taken_again_unchanged(answer: object, kind: AnswerType) -> None:
    answer_format = AnswerFormat(kind)
    try:
        taken = coerce(answer, answer_format)  # type: ignore[arg-type]
    except WrongAnswerTypeError:
        return
    assert coerce(taken, answer_format) == taken
