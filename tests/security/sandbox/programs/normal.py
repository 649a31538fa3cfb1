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
]  # fmt: skip
