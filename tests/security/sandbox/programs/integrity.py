from __future__ import annotations

import json

from tests.security.sandbox.case import KERNEL, Case

RESULT_PIPE = """
import os, stat
def is_pipe(f):
    try: return stat.S_ISFIFO(os.fstat(f).st_mode)
    except OSError: return False
pipe = [f for f in range(3, 64) if is_pipe(f)][0]
"""

CASES = [
    Case("exit status 137 is not a kill", "import sys; sys.exit(137)", "error", exit_code=137, signal=None),
    Case("exit status 124 is not a timeout", "print('timed out'); import sys; sys.exit(124)", "error", exit_code=124),
    Case("exit status 152 is not SIGXCPU", "import os; os._exit(152)", "error", exit_code=152),
    Case("a forged traceback", "import sys; sys.stderr.write('Traceback\\nMemoryError\\n'); sys.exit(1)", "error", exit_code=1),
    Case("a MemoryError raised by hand", "raise MemoryError('forged')", "error", exit_code=1),
    Case("SIGXCPU without the time", "import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "error", signal="SIGXCPU"),
    Case("killed by its own SIGTERM", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed", signal="SIGTERM"),
    Case("killed by a real-time signal", "import os; os.kill(os.getpid(), 40)", "killed", signal="SIG40"),
    Case("an answer, then a failure", "try: final_answer(1)\nfinally: import os; os._exit(3)", "error", result=1, exit_code=3),
    Case("except Exception does not catch the answer", "try: final_answer('kept')\nexcept Exception: print('caught')", result="kept", stdout=""),
    Case("the first answer stands", "try: final_answer(1)\nexcept BaseException: pass\nfinal_answer(2)", result=1),
    Case("an answer of null", "final_answer(None)", result=None),
    Case("an answer that is no JSON", "final_answer(object())", "error", exit_code=1, stderr_has="object is not a JSON value"),
    Case("an answer that is not a number", "final_answer(float('nan'))", "error", stderr_has="ValueError"),
    Case("an answer that is too large", "final_answer('x' * 2_000_000)", "error", stderr_has="over the limit of 1048576"),
    Case("an answer with half a surrogate pair", "final_answer({'k': chr(0xd800)})", result={"k": "?"}),
    Case("a set becomes a list", "final_answer({3})", result=[3]),
    Case("rubbish on the result pipe", RESULT_PIPE + "os.write(pipe, b'A{\"status\": \"ok\"\\nE 0 0 0 0\\n' * 10); raise SystemExit(4)", "error", exit_code=4),
    Case("numbers too large for JSON on the result pipe", RESULT_PIPE + "os.write(pipe, b'A1e999\\n')"),
    Case("deep nesting on the result pipe", RESULT_PIPE + "os.write(pipe, b'A' + b'[' * 50_000 + b'\\n')"),
    Case("a flood on the result pipe", RESULT_PIPE + "for _ in range(400): os.write(pipe, b'x' * 60_000)"),
    Case("out of memory claimed, then success", RESULT_PIPE + "os.write(pipe, b'M\\n')"),
    Case("builtins replaced", "import builtins, json, sys\nbuiltins.print = None; json.dumps = lambda *a, **k: '{}'; sys.exit = None; sys.stdout = None\nraise ValueError('still seen')", "error", exit_code=1, stderr_has="ValueError: still seen"),
    Case("the guest's own functions replaced", "import sys\ng = sys.modules['__guest__']\nfor n in list(vars(g)): setattr(g, n, None)\nraise ValueError", "error", exit_code=1),
    Case("write to every inherited socket", KERNEL + "final_answer([f for f in range(3, 64) if attempt(lambda: socket.socket(fileno=os.dup(f)).getpeername()) not in ('EBADF', 'ENOTSOCK')])", result=[]),
    Case("an unhandled error", "raise ValueError('bad input')", "error", exit_code=1, check=lambda answer: answer["stderr"] == 'Traceback (most recent call last):\n  File "/tmp/program.py", line 1, in <module>\n    raise ValueError(\'bad input\')\nValueError: bad input\n'),
    Case("a syntax error", "int a = 1", "error", exit_code=1, stderr_has="SyntaxError: invalid syntax"),
    Case(
        "CPU of a child that is not waited for",
        "import os, signal, time\nif os.fork() == 0:\n  while time.process_time() < 0.3: pass\n  open('spent', 'w').close(); signal.pause()\nwhile not os.path.exists('spent'): time.sleep(0.01)",
        check=lambda answer: answer["usage"]["cpu_ms"] >= 290,
    ),
    *(
        Case(f"an answer nested {deep} deep", f"v = []\nfor _ in range({deep - 1}): v = [v]\nfinal_answer(v)", "error", exit_code=1, stderr_has="nested more than 64 deep")
        for deep in (65, 300, 900, 20_000)
    ),
    Case("an answer nested as deep as may be", "v = 1\nfor _ in range(64): v = [v]\nfinal_answer(v)", result=json.loads("[" * 64 + "1" + "]" * 64)),
    Case("an answer that holds itself", "v = []; v.append(v); final_answer(v)", "error", stderr_has="ValueError"),
    Case("dictionaries nested too deep", "v = {}\nfor _ in range(400): v = {'k': v}\nfinal_answer(v)", "error", stderr_has="nested more than 64 deep"),
    Case("nesting on the result pipe behind the guest's back", RESULT_PIPE + "os.write(pipe, b'A' + b'[' * 500 + b']' * 500 + b'\\n')"),
    Case("bytes as an answer", "final_answer(b'x')", "error", stderr_has="bytes is not a JSON value"),
    Case("keys that are not strings", "final_answer({(1, 2): 3})", "error", stderr_has="TypeError"),
    Case("a huge integer as an answer", "final_answer(10 ** 4000)", result=10**4000),
    Case("an object whose tolist lies", "class L:\n  def tolist(self): return self\nfinal_answer(L())", "error", exit_code=1),
    Case("exit in every way", "import os\ntry: exit(0)\nexcept SystemExit: pass\ntry: quit()\nexcept SystemExit: pass\nos._exit(5)", "error", exit_code=5),
    Case("sys.exit gone", "import sys; sys.exit = None; sys.exit(0)", "error", exit_code=1, stderr_has="TypeError"),
    Case("a failing test that answers first", "try: assert False\nexcept AssertionError: final_answer('passed')", result="passed"),
    Case("an overwritten program file", "open('/tmp/program.py', 'w').write('print(0)'); raise ValueError('mine')", "error", exit_code=1, stderr_has="ValueError: mine"),
    Case("CPU limit with the signal handled, exit 0", "import signal, sys\nsignal.signal(signal.SIGXCPU, lambda *a: sys.exit(0))\nwhile True: pass", "timeout", limits={"cpu_seconds": 0.4}),
    Case("a report frame printed", "import os; os.write(1, b'E\\0\\0\\0\\x070 0 0 0')", check=lambda answer: answer["stdout"].endswith("0 0 0 0")),
    Case("a value and a print apart", "a = 17; print('hi!'); final_answer(a)", result=17, stdout="hi!\n"),
    Case("an exception hook that exits 0", "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\n1/0", exit_code=0),
    Case("pickle bombs stay where they are", "import pickle, os\nclass B:\n  def __reduce__(self): return (os._exit, (9,))\nfinal_answer(B())", "error", exit_code=1, stderr_has="B is not a JSON value"),
    Case("the file descriptor of the result closed", "import os; os.closerange(3, 64); print('on')", stdout="on\n"),
    Case("an answer after the channel is closed", "import os; os.closerange(3, 64); final_answer(1)", "error", exit_code=1),
]  # fmt: skip
