from __future__ import annotations

import struct

import pyseccomp
import pytest

from sandbox.jail.seccomp import DENIED, DENIED_BY_NUMBER, TEMPLATE_MAY, compile_filter

RETURN, ALLOW, ERRNO = 0x06, 0x7FFF0000, 0x00050000


def test_the_filter_is_a_program_that_only_allows_or_answers_errors() -> None:
    program = compile_filter()
    assert len(program) % 8 == 0
    instructions = [struct.unpack_from("=HBBI", program, offset) for offset in range(0, len(program), 8)]
    returns = {value for code, _, _, value in instructions if code == RETURN}
    assert ALLOW in returns
    assert all(value == ALLOW or value & 0xFFFF0000 == ERRNO for value in returns)


def test_it_is_compiled_once() -> None:
    assert compile_filter() is compile_filter()


def test_no_name_is_denied_twice() -> None:
    names = [name for group in DENIED.values() for name in group]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [name for group in DENIED.values() for name in group])
def test_every_denied_name_is_a_system_call(name: str) -> None:
    assert pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name) >= 0


@pytest.mark.parametrize(("name", "number"), DENIED_BY_NUMBER.items())
def test_numbers_agree_with_the_library_where_it_knows_the_name(name: str, number: int) -> None:
    assert pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name) in {number, -1}


def test_the_templates_filter_differs_by_what_makes_jails_alone() -> None:
    jail, template = compile_filter(), compile_filter(for_template=True)
    assert jail != template
    assert {"mount"} == TEMPLATE_MAY
