from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kit.problems import Problem
from sandbox.limits import Limits, resolve, rlimits
from sandbox.paths import check_input_path, check_pattern, pattern_expression
from sandbox.report import parse_result
from sandbox.settings import SandboxSettings


@given(st.text(alphabet="ab./\\ *?é", max_size=40))
def test_an_accepted_path_never_leads_out(path: str) -> None:
    try:
        cleaned = check_input_path(path)
    except ValueError:
        return
    parts = PurePosixPath(cleaned).parts
    assert parts
    assert not cleaned.startswith("/")
    assert not {"..", ".", ""} & set(cleaned.split("/"))


@pytest.mark.parametrize(
    ("given_path", "cleaned"),
    [
        ("./0.jpg", "0.jpg"),
        ("a//b", "a/b"),
        ("numbers/0123", "numbers/0123"),
        ("back\\slash", "back\\slash"),
        ("..x/y..", "..x/y.."),
    ],
)
def test_odd_but_legal_paths(given_path: str, cleaned: str) -> None:
    assert check_input_path(given_path) == cleaned


@pytest.mark.parametrize(
    "path", ["", ".", "/", "/a", "..", "a/..", "../a", "a/../../b", "a/", "x" * 256, "/".join("a" * 40)]
)
def test_illegal_paths(path: str) -> None:
    with pytest.raises(ValueError):
        check_input_path(path)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.png", ["a.png", ".png"], ["a/b.png", "a.pngx", "apng"]),
        ("**/*.png", ["a.png", "a/b.png", "a/b/c.png"], ["a.txt"]),
        ("out/**", ["out/a", "out/a/b"], ["out", "outer/a"]),
        ("f?.t", ["fa.t"], ["f/.t", "f.t"]),
        ("a+(b).c", ["a+(b).c"], ["aab.c"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    expression = re.compile(pattern_expression(pattern))
    assert all(expression.fullmatch(path) for path in matching)
    assert not any(expression.fullmatch(path) for path in other)


def test_a_pattern_of_many_wildcards_is_refused() -> None:
    with pytest.raises(ValueError, match="wildcards"):
        check_pattern("*a" * 9)


def test_limits_not_asked_for_are_the_defaults() -> None:
    settings = SandboxSettings()
    limits = resolve({"wall_seconds": 3.5, "processes": None}, settings)
    assert limits.wall_seconds == 3.5
    assert limits.processes == settings.sandbox_default_processes


def test_every_limit_over_its_maximum_is_named_at_once() -> None:
    with pytest.raises(Problem) as caught:
        resolve({"wall_seconds": 1e9, "disk_bytes": 1 << 60}, SandboxSettings())
    errors = {error.field: error for error in caught.value.errors}
    assert set(errors) == {"limits.wall_seconds", "limits.disk_bytes"}
    assert errors["limits.wall_seconds"].value == 1e9
    assert "120" in errors["limits.wall_seconds"].message


@given(st.integers(16 << 20, 4 << 30), st.booleans())
def test_rlimits_hold_memory_where_nothing_else_does(memory_bytes: int, counted: bool) -> None:
    limits = {
        name: (soft, hard)
        for name, soft, hard in rlimits(Limits(1, 1, memory_bytes, 8, 1, 4096), memory_is_counted=counted)
    }
    assert all(soft <= hard for soft, hard in limits.values())
    assert (limits["RLIMIT_DATA"][0] == memory_bytes) is not counted
    assert limits["RLIMIT_CORE"] == (0, 0)
    assert limits["RLIMIT_NPROC"] == (9, 9)


@pytest.mark.parametrize(
    "settings",
    [
        {"sandbox_host": "0.0.0.0"},
        {"profile": "production"},
        {"sandbox_host": "10.0.0.5", "sandbox_token": ""},
        {"sandbox_default_wall_seconds": 500},
        {"sandbox_uid": 0},
    ],
)
def test_unsafe_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SandboxSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "given_", "value"),
    [
        (b'A{"a": [1, null]}\n', True, {"a": [1, None]}),
        (b"Anull\n", True, None),
        (b"A1\nA2\n", True, 1),
        (b"M\nA1\n", True, 1),
        (b"", False, None),
        (b"A1", False, None),
        (b"ANaN\n", False, None),
        (b"A-Infinity\n", False, None),
        (b"A1e999\n", False, None),
        (b"A" + b"[" * 100_000 + b"\n", False, None),
        (b"A" + b"9" * 5000 + b"\n", False, None),
        (b"A\xff\n", False, None),
        (b'A"\\ud800"\n', True, "?"),
        (b'A"\\uD83D\\uDE00"\n', True, "\U0001f600"),
    ],
)
def test_only_strict_json_is_a_result(written: bytes, given_: bool, value: object) -> None:
    answer = parse_result(written)
    assert (answer.given, answer.value) == (given_, value)


@given(st.binary(max_size=200))
def test_no_rubbish_breaks_the_parser(written: bytes) -> None:
    parse_result(written)
    parse_result(b"A" + written + b"\n")
