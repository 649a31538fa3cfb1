from __future__ import annotations

from tests.security.sandbox.case import Case

SMALL = {"memory_bytes": 64 << 20}

CASES = [
    Case("busy loop to the wall limit", "while True: pass", "timeout", signal="SIGKILL", exit_code=None, limits={"wall_seconds": 0.4}, reason_has="wall clock limit of 0.4 s"),
    Case("sleep to the wall limit", "import time; print('a'); time.sleep(60)", "timeout", stdout="a\n", limits={"wall_seconds": 0.4}),
    Case("cpu limit", "print(sum(range(2**40)))", "timeout", signal="SIGKILL", stdout="", limits={"cpu_seconds": 0.4}, reason_has="CPU limit of 0.4 s"),
    Case("cpu limit of many processes", "import os\nfor _ in range(3): os.fork()\nwhile True: pass", "timeout", limits={"cpu_seconds": 0.5}, reason_has="CPU limit", check=lambda answer: answer["usage"]["cpu_ms"] < 1500),
    Case(
        "cpu limit with the signal handled",
        "import signal\nsignal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True: pass",
        "timeout", signal="SIGKILL", limits={"cpu_seconds": 0.4}, reason_has="CPU limit",
    ),
    Case(
        "alarm and signals ignored",
        "import signal\nfor n in range(1, 32):\n  try: signal.signal(n, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass",
        "timeout", limits={"wall_seconds": 0.4},
    ),
    Case("stop oneself", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", "timeout", limits={"wall_seconds": 0.4}),
    Case("stop the process group", "import os, signal; os.kill(0, signal.SIGSTOP)", "timeout", limits={"wall_seconds": 0.4}),
    Case("a builtin that never checks signals", "import math; math.factorial(2**30)", "timeout", limits={"wall_seconds": 0.5}),
    Case("catastrophic regular expression", "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')", "timeout", limits={"wall_seconds": 0.5}),
    Case(
        "touch more memory than the limit", "x = bytearray(256 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nfinal_answer(1)",
        "memory_exceeded", limits=SMALL,
    ),
    Case("reserve more memory than the limit", "x = 'a' * (64 << 30)", "memory_exceeded", exit_code=1, stderr_has="MemoryError", limits=SMALL),
    Case("memory by small objects", "x = []\nwhile True: x.append(bytearray(4096))", "memory_exceeded", limits=SMALL),
    Case(
        "a child out of memory, the parent exits 0",
        "import os\nif os.fork() == 0:\n  x = b'x' * (200 << 20)\n  os._exit(0)\nos.wait()\nprint('fine')",
        # By rlimits the child is refused the memory, so nothing is exceeded.
        "memory_exceeded", limits=SMALL, counted_by_cgroup_only=True,
    ),
    Case(
        "memory by many children",
        "import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n    x = b'x' * (30 << 20)\n    time.sleep(20)\ntry:\n  while True: os.wait()\nexcept ChildProcessError: pass",
        "memory_exceeded", limits=SMALL, check=lambda answer: answer["usage"]["wall_ms"] < 5000,
    ),
    # Refused memory in the middle of a frame, CPython 3.11 may raise SystemError instead of MemoryError.
    Case("recursion without end", "import sys; sys.setrecursionlimit(10**8)\ndef f(n): return [f(n + 1)]\nf(0)", "memory_exceeded", limits={**SMALL, "wall_seconds": 20, "cpu_seconds": 20}, counted_by_cgroup_only=True),
    Case(
        "fork bomb", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        "timeout", limits={"wall_seconds": 0.8, "processes": 32},
    ),
    Case(
        "processes are counted for the run alone",
        "import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(20); os._exit(0)\n    n += 1\nexcept BlockingIOError: final_answer(n)",
        result=9, limits={"processes": 10},
    ),
    Case(
        "thread bomb",
        "import threading, time\nn = 0\ntry:\n  while True:\n    threading.Thread(target=time.sleep, args=(20,), daemon=True).start(); n += 1\nexcept RuntimeError: final_answer(n)",
        result=15, limits={"processes": 16},
    ),
    Case(
        "a double fork keeps the output open",
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(60)\n  os._exit(0)\nos.wait()\nprint('done')",
        stdout="done\n", check=lambda answer: answer["usage"]["wall_ms"] < 5000,
    ),
    Case("a background process", "import subprocess; subprocess.Popen(['sleep', '60']); print('x')", stdout="x\n", check=lambda answer: answer["usage"]["wall_ms"] < 5000),
    Case(
        "fill the working directory",
        "import errno\ntry: open('big', 'wb').write(bytes(32 << 20))\nexcept OSError as e: final_answer(errno.errorcode[e.errno])",
        result="EFBIG", limits={"disk_bytes": 8 << 20},
    ),
    Case(
        "fill the working directory by many files",
        "import errno\ntry:\n  for i in range(100): open(str(i), 'wb').write(bytes(1 << 20))\nexcept OSError as e: final_answer([i, errno.errorcode[e.errno]])",
        result=[8, "ENOSPC"], limits={"disk_bytes": 8 << 20},
    ),
    Case(
        "fill shared memory",
        "import errno\ntry:\n  for i in range(100): open(f'/dev/shm/{i}', 'wb').write(bytes(4 << 20))\nexcept OSError as e: final_answer([i, errno.errorcode[e.errno]])",
        result=[16, "ENOSPC"],
    ),
    Case(
        "raise one's own limits",
        "import resource\nheld = []\nfor n in ('CPU', 'AS', 'NPROC', 'FSIZE', 'NOFILE', 'CORE'):\n  r = getattr(resource, 'RLIMIT_' + n)\n  try: resource.setrlimit(r, (resource.RLIM_INFINITY,) * 2)\n  except ValueError: held.append(n)\nfinal_answer(held)",
        result=["CPU", "AS", "NPROC", "FSIZE", "NOFILE", "CORE"],
    ),
    Case("open files without end", "fs = []\ntry:\n  while True: fs.append(open('/dev/null'))\nexcept OSError as e: fs.clear(); final_answer(e.errno)", result=24),
]  # fmt: skip
