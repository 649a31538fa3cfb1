"""Pairs of programs: the first leaves something, the second must not find it."""

from __future__ import annotations

PAIRS = {
    "files": (
        "for p in ('/tmp/left', '/dev/shm/left', 'left'): open(p, 'w').write('x')",
        "import os; final_answer([p for p in ('/tmp/left', '/dev/shm/left', 'left') if os.path.exists(p)])",
        [],
    ),
    "processes": (
        "import subprocess; subprocess.Popen(['sleep', '77'])",
        "import glob; final_answer(any(b'77' in open(p, 'rb').read() for p in glob.glob('/proc/[0-9]*/cmdline')))",
        False,
    ),
    "System V shared memory": (
        "import ctypes; assert ctypes.CDLL(None).shmget(4242, 4096, 0o1666) >= 0",
        "import ctypes; final_answer(ctypes.CDLL(None).shmget(4242, 4096, 0))",
        -1,
    ),
    "interpreter state": (
        "import builtins; builtins.left = 1",
        "import builtins; final_answer(hasattr(builtins, 'left'))",
        False,
    ),
}
