from __future__ import annotations

from tests.security.sandbox.case import Case

CASES = [
    Case("flood of output", "while True: print('x' * 1000)", "output_exceeded", limits={"output_bytes": 50_000}, check=lambda answer: len(answer["stdout"]) == 50_000 and answer["truncated"] == {"stdout": True, "stderr": False}),
    Case("flood of errors", "import sys\nwhile True: sys.stderr.write('x' * 1000 + '\\n')", "output_exceeded", limits={"output_bytes": 50_000}, check=lambda answer: len(answer["stderr"]) == 50_000 and answer["truncated"] == {"stdout": False, "stderr": True}),
    Case("one byte over the limit, then a good end", "print('x' * 1000, end='')", "output_exceeded", limits={"output_bytes": 999}),
    Case("exactly the limit", "print('x' * 1000, end='')", limits={"output_bytes": 1000}, check=lambda answer: len(answer["stdout"]) == 1000),
    Case("more than a pipe holds", "print('x' * 500_000)", check=lambda answer: len(answer["stdout"]) == 500_001),
    Case("errors first, then output", "import sys; sys.stderr.write('e' * 700_000); print('OK!')", stdout="OK!\n", check=lambda answer: len(answer["stderr"]) == 700_000),
    Case("one line without an end", "import sys\nwhile True: sys.stdout.write('x' * 100_000)", "output_exceeded"),
    Case("bytes that are not UTF-8", "import os; os.write(1, bytes(range(128, 256)))", check=lambda answer: answer["stdout"].count("\ufffd") > 60),
    Case("half a surrogate pair", "print(chr(0xdce6))", "error", exit_code=1, stderr_has="UnicodeEncodeError"),
    Case("control characters", "print('\\x1b[31m\\r\\n\\ufeff\\x00')", stdout="\x1b[31m\r\n\ufeff\x00\n"),
    Case("stdout closed", "import os; os.close(1); print('x')", "error", exit_code=120),
    Case("stdin not read", "print('hi')", stdout="hi\n", stdin="x" * 1_000_000),
    Case("stdin read whole", "import sys; final_answer(len(sys.stdin.read()))", result=1_000_000, stdin="x" * 1_000_000),
    Case("log on stderr is no failure", "import logging; logging.warning('w'); print('ok')", stdout="ok\n", stderr_has="WARNING:root:w"),
    Case("write to dev stdout by name", "open('/dev/stdout', 'w').write('named')", stdout="named", needs_proc=True),
    Case("what was printed before a kill is kept", "import os; print('last words'); os.kill(os.getpid(), 9)", "killed", stdout="last words\n", signal="SIGKILL"),
    Case("a large legal output", "import json; print(json.dumps(['x' * 97] * 3_018))", check=lambda answer: len(answer["stdout"]) == 3018 * 101 + 1),
    Case("stdout, then an error", "print('a')\nraise ValueError('b')", "error", stdout="a\n", stderr_has="ValueError: b"),
    Case("an assertion", "assert 1 == 2", "error", exit_code=1, stderr_has="AssertionError"),
    Case("ten megabytes in a line", "print('x' * 10_000_000, end='')", "output_exceeded", check=lambda answer: len(answer["stdout"]) == 1 << 20),
    Case("numbers past the limit", "for i in range(10 ** 7): print(i)", "output_exceeded", limits={"output_bytes": 10_000}),
    Case("output of a child", "import subprocess; subprocess.run(['echo', 'child'])", stdout="child\n"),
    Case("stderr closed", "import os; os.close(2); print('x')", stdout="x\n"),
    Case("unflushed output at os._exit is the program's loss", "import os, sys; sys.stdout.write('no line end'); os._exit(0)", stdout=""),
    Case("a file left open is written", "f = open('f', 'w'); f.write('kept')", collect=["f"], check=lambda answer: answer["files"][0]["content"] == "kept"),
    Case("a NUL and every byte", "import os; os.write(1, bytes(range(128)))", check=lambda answer: answer["stdout"] == bytes(range(128)).decode()),
]  # fmt: skip
