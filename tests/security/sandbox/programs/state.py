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
    "a variable": ("x = 1", "final_answer('x' in globals())", False),
    "key rings": (
        "import ctypes; ctypes.CDLL(None).syscall(248, b'user', b'left', b'x', 1, -3)",
        "import ctypes; final_answer(ctypes.CDLL(None).syscall(250, 10, -3, b'user', b'left', 0) < 0)",
        True,
    ),
    "message queues and semaphores": (
        "import ctypes; l = ctypes.CDLL(None); assert l.msgget(77, 0o1666) >= 0 and l.semget(78, 1, 0o1666) >= 0",
        "import ctypes; l = ctypes.CDLL(None); final_answer([l.msgget(77, 0), l.semget(78, 1, 0)])",
        [-1, -1],
    ),
    "modules changed": (
        "import json, os; json.dumps = None; os.getpid = lambda: 0",
        "import json, os; final_answer([json.dumps(1), os.getpid() > 0])",
        ["1", True],
    ),
    "environment": (
        "import os; os.environ['LEFT'] = '1'",
        "import os; final_answer('LEFT' in os.environ)",
        False,
    ),
    "limits, nice value and umask": (
        "import os, resource; os.nice(5); os.umask(0o077); resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))",
        "import os, resource; final_answer([os.nice(0) - os.getpriority(os.PRIO_PROCESS, 1), os.umask(0), resource.getrlimit(resource.RLIMIT_NOFILE)[0]])",
        [0, 0o022, 256],
    ),
    "abstract sockets": (
        "import socket, os\ns = socket.socket(socket.AF_UNIX); s.bind('\\0left'); s.listen()",
        "import socket\ns = socket.socket(socket.AF_UNIX)\ntry: s.connect('\\0left'); final_answer('met')\nexcept OSError: final_answer('alone')",
        "alone",
    ),
    "locked and undeletable files": (
        "import os, tempfile; d = tempfile.mkdtemp(); open(d + '/f', 'w').close(); os.chmod(d, 0)",
        "import os; final_answer(sorted(os.listdir('/tmp')))",
        ["program.py"],
    ),
}
