from __future__ import annotations

from tests.security.sandbox.case import Case

CASES = [
    Case("hello", "print('test')", stdout="test\n", exit_code=0, signal=None),
    Case("a pool of processes", "from multiprocessing import Pool\nwith Pool(2) as p: final_answer(p.map(abs, [-1, -2]))", result=[1, 2]),
    Case("spawned processes", "import multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n  with m.get_context('spawn').Pool(1) as p: final_answer(p.map(f, [4]))", result=[8]),
    Case("threads", "from concurrent.futures import ThreadPoolExecutor as T\nwith T(4) as t: final_answer(sum(t.map(len, ['a', 'bb'])))", result=3),
    Case("asyncio", "import asyncio\nasync def f(): await asyncio.sleep(0); return 5\nfinal_answer(asyncio.run(f()))", result=5),
    Case("subprocess", "import subprocess; final_answer(subprocess.check_output(['echo', 'hi'], text=True))", result="hi\n"),
    Case("sqlite", "import sqlite3; c = sqlite3.connect('x.db'); c.execute('create table t (a)'); final_answer(c.execute('select count(*) from t').fetchone()[0])", result=0),
    Case("time zones", "from datetime import datetime; from zoneinfo import ZoneInfo; final_answer(datetime(2026, 1, 1, tzinfo=ZoneInfo('Asia/Shanghai')).isoformat()[-6:])", result="+08:00"),
    Case("its own user", "import getpass, pwd, os; final_answer([getpass.getuser(), pwd.getpwuid(os.getuid()).pw_name, os.path.expanduser('~')])", result=["sandbox", "sandbox", "/box"]),
    Case("temporary files", "import tempfile\nwith tempfile.NamedTemporaryFile() as f: f.write(b'x'); final_answer(f.name.startswith('/tmp/'))", result=True),
    Case("shared memory", "from multiprocessing.shared_memory import SharedMemory\ns = SharedMemory(create=True, size=4096); s.buf[0] = 7; v = s.buf[0]; s.close(); s.unlink(); final_answer(v)", result=7),
    Case("dataclasses and pickles of main", "import pickle, dataclasses\n@dataclasses.dataclass\nclass P:\n  x: int\nfinal_answer(pickle.loads(pickle.dumps(P(3))).x)", result=3),
    Case("source of a function", "import inspect\ndef f(): return 1\nfinal_answer(inspect.getsource(f))", result="def f(): return 1\n"),
    Case("import an input file", "import helper; final_answer(helper.VALUE)", result=41, files=[{"path": "helper.py", "content": "VALUE = 41"}]),
    Case("at exit and finally run", "import atexit; atexit.register(print, 'bye')\ntry: final_answer(1)\nfinally: print('finally')", result=1, stdout="finally\nbye\n"),
    Case("exit by name", "exit(0)", exit_code=0),
    Case("in-interpreter escapes gain nothing", "c = ().__class__.__base__.__subclasses__(); import sys; final_answer(sys.modules['os'].getuid())", result=1000),
    Case("run another program", "import os; os.execl('/usr/bin/env', 'env', 'echo', 'ran')", stdout="ran\n"),
    Case("whatever the spelling", "exec(__import__('base64').b64decode('cHJpbnQoX19pbXBvcnRfXygnbycrJ3MnKS5nZXR1aWQoKSk='))", stdout="1000\n"),
    Case("timers", "import signal, time\nsignal.signal(signal.SIGALRM, lambda *a: final_answer('rang'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(5)", result="rang"),
    Case("a process pool of futures", "from concurrent.futures import ProcessPoolExecutor as P\nwith P(2) as p: final_answer(list(p.map(abs, [-3, -4])))", result=[3, 4]),
    Case("random differs", "import random; final_answer(random.random() == 0)", result=False),
    Case("threads end before the program", "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()", stdout="late\n"),
    Case("rename across folders", "import os; os.makedirs('a'); open('a/f', 'w').close(); os.replace('a/f', 'g'); final_answer(os.path.exists('g'))", result=True),
    Case("a unit test", "import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(1, 1)\nunittest.main()", stderr_has="OK"),
    Case("a unit test that fails", "import unittest\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(1, 2)\nunittest.main()", "error", exit_code=1, stderr_has="FAILED"),
    Case("compress and archive", "import zipfile, gzip\nz = zipfile.ZipFile('z', 'w'); z.writestr('a', 'b'); z.close(); final_answer(zipfile.ZipFile('z').read('a').decode())", result="b"),
    Case("locks on files", "import fcntl; f = open('l', 'w'); fcntl.flock(f, fcntl.LOCK_EX); final_answer('held')", result="held"),
]  # fmt: skip
