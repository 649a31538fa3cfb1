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
        "memory_exceeded", limits=SMALL, check=lambda answer: answer["usage"]["wall_ms"] < 5000, in_a_container="memory_exceeded",
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
    Case("sleep within a raised wall limit", "import time; time.sleep(0.6); print('Done!')", stdout="Done!\n", limits={"wall_seconds": 2}),
    Case("stop the parent", "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); final_answer('on')", result="on", in_a_container="timeout"),
    Case("stop everyone", "import os, signal\ntry: os.kill(-1, signal.SIGSTOP)\nexcept ProcessLookupError: final_answer('nobody')", result="nobody", in_a_container="timeout"),
    Case("an allocation within a raised limit", "print(len(bytearray(100_000_000)))", stdout="100000000\n", limits={"memory_bytes": 200 << 20}),
    Case("a shared mapping larger than the limit", "import errno\nfrom multiprocessing.shared_memory import SharedMemory\ntry: SharedMemory(create=True, size=8 << 30)\nexcept OSError as e: final_answer(errno.errorcode[e.errno])", result="EFBIG"),
    Case("memory files count", "import os\nf = os.memfd_create('x')\nfor _ in range(200): os.write(f, bytes(1 << 20))", "memory_exceeded", limits={**SMALL, "disk_bytes": 512 << 20}, counted_by_cgroup_only=True),
    Case("children by subprocess", "import subprocess, errno\nheld = []\ntry:\n  while True: held.append(subprocess.Popen(['sleep', '20']))\nexcept OSError as e: final_answer([len(held), errno.errorcode[e.errno]])", result=[7, "EAGAIN"], limits={"processes": 8}),
    Case("fork at one process", "import os\nprint('Forking')\nos.fork()", "error", stdout="Forking\n", stderr_has="BlockingIOError", limits={"processes": 1}),
    Case("fork bomb that does not catch", "import os\nwhile True: os.fork()", "error", stderr_has="BlockingIOError", limits={"processes": 16, "wall_seconds": 10}),
    Case("a thread bomb that does not catch", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(20,), daemon=True).start()", "error", stderr_has="can't start new thread", limits={"processes": 16}),
    Case("a tree of processes, then a busy loop", "import os\nfor _ in range(3): os.fork()\nwhile True: pass", "timeout", limits={"wall_seconds": 0.4}),
    Case(
        "files without end",
        "import errno\nn = 0\ntry:\n  while True: open(f'/tmp/{n}', 'w').close(); n += 1\nexcept OSError as e: final_answer([n < 16384, errno.errorcode[e.errno]])",
        result=[True, "ENOSPC"], limits={"wall_seconds": 30, "cpu_seconds": 30},
    ),
    Case(
        "folders without end",
        "import errno, os\nn = 0\ntry:\n  while True: os.mkdir(str(n)); n += 1\nexcept OSError as e: final_answer([n < 16384, errno.errorcode[e.errno]])",
        result=[True, "ENOSPC"], limits={"wall_seconds": 30, "cpu_seconds": 30},
    ),
    Case("a huge sparse file", "import errno\ntry: open('s', 'wb').truncate(1 << 40)\nexcept OSError as e: final_answer(errno.errorcode[e.errno])", result="EFBIG"),
    Case("a page of code compiled for ever", "exec('x = ' + '(' * 90 + '1' + ')' * 90); final_answer(x)", result=1),
    Case("integers of a million digits", "try: len(str(10 ** 5000))\nexcept ValueError as e: final_answer('4300 digits' in str(e))", result=True),
]  # fmt: skip
