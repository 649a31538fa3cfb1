from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codetree.engine import CallKey, Program
from codetree.tools import ToolSourceError, bundle, python_tool

SOURCE = '''
from dataclasses import dataclass

@dataclass
class Fare:
    euros: float

def fare(city: str) -> Fare:
    """The fare to a city."""
    return Fare({"Oslo": 120.5}[city])
'''


def run(code: str, folder: Path, *sources: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    """What the jail does with a bundle, for programs of our own: files in the working directory, then the code."""
    tools = tuple(python_tool(name, "", source) for name, source in sources)
    start, files = bundle(Program(CallKey("1", 1), code, tools))
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)
    return subprocess.run(
        [sys.executable, "-c", start], cwd=folder, capture_output=True, text=True, timeout=20, check=False
    )


def test_a_program_without_tools_is_started_as_it_is() -> None:
    assert bundle(Program(CallKey("1", 1), "final_answer(1)")) == ("final_answer(1)", {})


def test_a_program_finds_its_tools_and_nothing_of_the_bootstrap(tmp_path: Path) -> None:
    code = "print(fare('Oslo').euros, __name__, sorted(n for n in globals() if n[0] != '_'), __doc__)"
    ended = run(code, tmp_path, ("fares", SOURCE))
    assert ended.stdout == "120.5 __main__ ['Fare', 'dataclass', 'fare'] None\n"


def test_a_future_import_may_stand_first(tmp_path: Path) -> None:
    ended = run("from __future__ import annotations\nprint(fare('Oslo'))", tmp_path, ("fares", SOURCE))
    assert ended.stdout == "Fare(euros=120.5)\n"


def test_a_traceback_shows_program_and_tool_with_their_own_lines_and_nothing_else(tmp_path: Path) -> None:
    ended = run("x = 1\nfare('Paris')", tmp_path, ("fares", SOURCE))
    assert ended.returncode == 1
    lines = ended.stderr.splitlines()
    assert [line.strip() for line in lines if "File" in line] == [
        'File "program.py", line 2, in <module>',
        f'File "{tmp_path}/astrolabe_tools/fares.py", line 10, in fare',
    ]
    assert "    fare('Paris')" in lines
    assert lines[-1] == "KeyError: 'Paris'"


def test_a_syntax_error_is_the_programs(tmp_path: Path) -> None:
    ended = run("x = (", tmp_path, ("fares", SOURCE))
    assert ended.stderr.startswith('  File "program.py", line 1')


def test_later_tools_may_use_earlier_ones(tmp_path: Path) -> None:
    other = "from astrolabe_tools.fares import fare\ndef twice(city): return 2 * fare(city).euros"
    assert run("print(twice('Oslo'))", tmp_path, ("fares", SOURCE), ("more", other)).stdout == "241.0\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:", "line 1: invalid syntax"),
        ("x = 1", "it defines no public function"),
        ("def _f(): ...", "it defines no public function"),
        ("x = " + "(" * 5_000, "line 1|can't be parsed"),
        ("-" * 200_000 + "1", "can't be parsed|line 1"),
        ("def f(): return '\\d'\ny = (", "line 2"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_without_running_it(source: str, message: str) -> None:
    with pytest.raises(ToolSourceError, match=message):
        python_tool("t", "", source)


def test_the_source_is_not_run_on_the_host(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    python_tool("t", "", f"open({str(marker)!r}, 'w')\ndef f(): ...")
    assert not marker.exists()
