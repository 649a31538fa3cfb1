from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codetree.engine.parsing import MAX_PROGRAM_CHARACTERS, parse_reply

CODE = "x = 6 * 7\nfinal_answer(x)"


@pytest.mark.parametrize(
    "text",
    [
        f"<thought>plan</thought>\n<execute>\n{CODE}\n</execute>",
        f"<thought>plan</thought><execute>\n```python\n{CODE}\n```\n</execute>",
        f"<THOUGHT>plan</THOUGHT><Execute>{CODE}</Execute >",
        f"<thought>plan\n<execute>\n{CODE}\n</execute>",
        f"plan\n<execute>\n{CODE}\n</execute>\nThis prints 42.",
        f"<thought>plan</thought>\n<execute>\n{CODE}",
        f"plan\n```python\n{CODE}\n```",
        f"plan\n```py\n{CODE}\n```\nDone.",
        f"plan\n~~~\n{CODE}\n~~~",
        f"plan\n```python\n{CODE}",
        f"plan\r\n```python\r\n{CODE}\r\n```".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"<think>draft <execute>final_answer(0)</execute></think><thought>plan</thought><execute>{CODE}</execute>",
        f"draft without opening mark</think><thought>plan</thought><execute>{CODE}</execute>",
        f"<thought>plan</thought><execute>import os</execute> then <execute>{CODE}</execute>",
        f"<thought>plan</thought><execute>{CODE}</execute> prints <execute>print('it')</execute>",
        f"<thought>plan</thought>\n```bash\npip install x\n```\n```python\n{CODE}\n```",
        "<thought>plan</thought><execute>\n" + "\n".join("    " + line for line in CODE.splitlines()) + "\n</execute>",
    ],
)
def test_thought_and_program_are_found(text: str) -> None:
    parsed = parse_reply(text)
    assert (parsed.thought, parsed.code, parsed.problem) == ("plan", CODE, None)


def test_a_bare_program_is_a_program() -> None:
    assert parse_reply(CODE).code == CODE


def test_prose_that_names_final_answer_is_not_a_program() -> None:
    assert parse_reply("I would call final_answer(42) here.").code is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no <execute> block"),
        ("<thought>plan</thought>", "holds no <execute> block"),
        ("```json\n{}\n```", "holds no <execute> block"),
        ("<execute>\n\n</execute>", "block is empty"),
        (f"<execute>{'#' * (MAX_PROGRAM_CHARACTERS + 1)}</execute>", "is longer than 65536 characters"),
    ],
)
def test_what_is_missing_is_said(text: str, problem: str) -> None:
    parsed = parse_reply(text)
    assert parsed.code is None
    assert problem in (parsed.problem or "")


def test_a_program_cut_off_at_the_output_limit_is_not_run() -> None:
    text = f"<thought>plan</thought><execute>{CODE}"
    assert parse_reply(text).code == CODE
    assert "cut off at the output limit" in (parse_reply(text, cut_off=True).problem or "")


def test_a_closed_program_is_run_although_the_reply_was_cut_off() -> None:
    assert parse_reply(f"<execute>{CODE}</execute> and so", cut_off=True).code == CODE


FRAGMENTS = st.sampled_from(
    [
        "<execute>",
        "</execute>",
        "<thought>",
        "</thought>",
        "<think>",
        "</think>",
        "```",
        "```python\n",
        "\n",
        "x=1",
        "é",
        "\0",
    ]
)


@given(st.lists(FRAGMENTS | st.text(max_size=5)).map("".join), st.booleans())
@example(text="<execute>```\n```\n", cut_off=False)
def test_any_text_gives_a_program_or_a_problem(text: str, cut_off: bool) -> None:
    parsed = parse_reply(text, cut_off=cut_off)
    assert (parsed.code is None) == (parsed.problem is not None)
    assert parsed.code is None or parsed.code.strip()


@pytest.mark.parametrize("unit", ["<execute>", "<execute ", "```\n", "<thought>", "</execute>", "<", "` ", "</think"])
def test_hostile_replies_take_linear_time(unit: str) -> None:
    started = time.process_time()
    parse_reply(unit * (1_000_000 // len(unit)))
    assert time.process_time() - started < 3
