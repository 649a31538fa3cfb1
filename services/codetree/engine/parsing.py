"""Find the thought and the program in what a model wrote, however it wrote it.

Models are asked for ``<thought>`` and ``<execute>``; small ones forget a tag, fence the code, or think aloud first. The
program is, in this order: the last ``<execute>`` block, the last fenced Python block, or the whole text when it plainly
is a program. Of several blocks, one that calls ``final_answer`` is preferred. Every scan is linear.
"""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

MAX_PROGRAM_CHARACTERS = 64 * 1024
MAX_THOUGHT_CHARACTERS = 16 * 1024

_END_OF_REASONING = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)(execute|thought)\b[^<>\n]{0,80}>", re.IGNORECASE)
_FENCE_LINE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)
_CALLS_FINAL_ANSWER = re.compile(r"\bfinal_answer\s*\(")
_LOOKS_LIKE_PYTHON = re.compile(r"\s*(?:import |from \w+ import |def |class |#|@|\w+\s*=|final_answer\s*\()")
_PYTHON = frozenset({"", "python", "python3", "py", "py3"})


class ParsedReply(NamedTuple):
    """``code`` is ``None`` when there is no program, and ``problem`` then tells the model what to mend."""

    thought: str
    code: str | None
    problem: str | None = None


class _Block(NamedTuple):
    start: int
    text: str
    closed: bool
    label: str = ""


def parse_reply(text: str, *, cut_off: bool = False) -> ParsedReply:
    """Thought and program of a reply. ``cut_off``: the model hit its output limit, so an open program is incomplete."""
    body = _without_reasoning(text.replace("\r\n", "\n"))
    block = _find_program(body)
    thought = _find_thought(body, block)
    if block is None:
        return ParsedReply(thought, None, "it was cut off" if cut_off else "it holds no <execute> block with a program")
    if cut_off and not block.closed:
        return ParsedReply(thought, None, "its program was cut off at the output limit, so write a shorter one")
    code = _tidy(block.text)
    if not code:
        return ParsedReply(thought, None, "its <execute> block is empty")
    if len(code) > MAX_PROGRAM_CHARACTERS:
        return ParsedReply(thought, None, f"its program is longer than {MAX_PROGRAM_CHARACTERS} characters")
    return ParsedReply(thought, code)


def _without_reasoning(text: str) -> str:
    """Reasoning models may think aloud before they answer; drafts in there are not the answer."""
    end = _END_OF_REASONING.search(text)
    opened = text.lstrip()[:10].lower().startswith("<think")
    before_tags = end is not None and not _TAG.search(text, 0, end.start())
    return text[end.end() :] if end and (opened or before_tags) else text


def _find_program(body: str) -> _Block | None:
    for blocks in (_tagged(body, "execute"), _fenced_python(body)):
        if blocks:
            answering = [block for block in blocks if _CALLS_FINAL_ANSWER.search(block.text)]
            return (answering or blocks)[-1]
    if _LOOKS_LIKE_PYTHON.match(body) and _CALLS_FINAL_ANSWER.search(body):
        return _Block(0, body, closed=False)
    return None


def _find_thought(body: str, program: _Block | None) -> str:
    tagged = _tagged(body, "thought")
    thought = tagged[0].text if tagged else body[: program.start if program else len(body)]
    return _FENCE_LINE.sub("", thought).strip()[:MAX_THOUGHT_CHARACTERS]


def _tagged(body: str, name: str) -> list[_Block]:
    """Blocks of one tag; a block that is not closed ends at the other tag or at the end of the text."""
    blocks: list[_Block] = []
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(body):
        is_close, same = bool(tag.group(1)), tag.group(2).lower() == name
        if opened and same:
            blocks.append(_Block(opened.start(), body[opened.end() : tag.start()], closed=is_close))
            opened = None
        elif opened and not is_close and name == "thought":
            blocks.append(_Block(opened.start(), body[opened.end() : tag.start()], closed=False))
            opened = None
        if same and not is_close:
            opened = tag
    if opened:
        blocks.append(_Block(opened.start(), body[opened.end() :], closed=False))
    return blocks


def _fenced_python(body: str) -> list[_Block]:
    return [block for block in _fenced(body) if block.label in _PYTHON]


def _fenced(body: str) -> list[_Block]:
    blocks: list[_Block] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE_LINE.finditer(body):
        if opened is None:
            opened = fence
        elif fence.group(1).startswith(opened.group(1)) and not fence.group(2):
            text = body[opened.end() : fence.start()]
            blocks.append(_Block(opened.start(), text, closed=True, label=opened.group(2).lower()))
            opened = None
    if opened:
        blocks.append(_Block(opened.start(), body[opened.end() :], closed=False, label=opened.group(2).lower()))
    return blocks


def _tidy(text: str) -> str:
    """The program without a fence inside its tags, common indentation, or blank lines around it."""
    fences = _fenced(text)
    if fences and not text[: fences[0].start].strip():
        text = fences[0].text
    return textwrap.dedent(text).strip("\n").rstrip()
