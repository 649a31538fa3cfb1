from __future__ import annotations

from tests.security.sandbox.case import KERNEL, Case

WRITE = (
    KERNEL
    + """
def write(path):
    try:
        with open(path, 'w') as f: f.write('1')
        return 'written'
    except OSError as e: return errno.errorcode[e.errno]
"""
)


def _omitted(path: str, reason: str) -> list[dict[str, object]]:
    return [{"path": path, "size_bytes": 0, "encoding": None, "content": None, "omitted": reason}]


CASES = [
    Case("write where it may", "open('t', 'w').write('hello'); open('/tmp/t', 'w').write('x'); print(open('t').read())", stdout="hello\n"),
    Case("write to the root, dev, etc, usr and guest", WRITE + "final_answer([write(p) in ('EROFS', 'EACCES') for p in ('/x', '/dev/x', '/etc/x', '/etc/passwd', '/usr/x', '/guest.zip')])", result=[True] * 6),
    Case("what the root holds", "import os; final_answer(sorted(set(os.listdir('/')) - {'lib32', 'lib64', 'libx32', 'sbin', 'proc', 'sys', 'guest.zip', '.dockerenv'}))", result=["bin", "box", "dev", "etc", "lib", "tmp", "usr"]),
    Case("private folders of the host", "import os; final_answer([p for p in ('/home', '/root', '/var', '/run', '/srv', '/opt', '/mnt', '/boot') if os.path.exists(p)])", result=[]),
    Case("the machine's devices and drivers", "import os; final_answer(os.path.exists('/sys'))", result=False, not_in_a_container="an engine shows every container /sys, read-only and masked"),
    Case("accounts of the host", "print(open('/etc/passwd').read().count('\\n')); import os; final_answer(os.path.exists('/etc/shadow'))", result=False, stdout="2\n"),
    Case("the environment", "import os; final_answer('PLANTED_SECRET' in os.environ or any('ASTROLABE' in n for n in os.environ))", result=False),
    Case(
        "the environment of any process",
        "import glob\nseen = b''\nfor p in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n  try: seen += open(p, 'rb').read()\n  except OSError: pass\nfinal_answer(b'planted' in seen or b'uvicorn' in seen)",
        result=False,
    ),
    Case("only its own processes", "import glob, os; final_answer(len(glob.glob('/proc/[0-9]*')) <= 3 and os.getpid() < 20)", result=True),
    Case(
        "open the guest's memory, descriptors and environment",
        WRITE + "final_answer([attempt(lambda p=p: os.open(p, os.O_RDONLY)) for p in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps')] + [attempt(lambda: os.listdir('/proc/1/fd'))])",
        result=["EACCES"] * 4, needs_proc=True),
    Case("core_pattern", WRITE + "final_answer(write('/proc/sys/kernel/core_pattern') in ('EACCES', 'EROFS', 'ENOENT', 'EPERM'))", result=True),
    Case("sysrq and drop_caches", WRITE + "final_answer([write(p) == 'written' for p in ('/proc/sysrq-trigger', '/proc/sys/vm/drop_caches')])", result=[False, False]),
    Case("its own protection from the OOM killer", WRITE + "def lower():\n  with open('/proc/self/oom_score_adj', 'w') as f: f.write('-1000')\n  return 'lowered'\nfinal_answer(attempt(lower) == 'lowered')", result=False),
    Case("descriptors that were inherited", "import os; fds = [int(f) for f in os.listdir('/proc/self/fd')]\ntypes = sorted(os.readlink(f'/proc/self/fd/{f}').split(':')[0] for f in fds if os.path.lexists(f'/proc/self/fd/{f}') and f > 2)\nfinal_answer(types)", result=["pipe"], needs_proc=True),
    Case("descriptors in a child", "import subprocess; print(subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True).stdout.split())", stdout="['0', '1', '2', '3']\n", needs_proc=True),
    Case("a hard link to a system file", KERNEL + "final_answer(attempt(lambda: os.link('/usr/bin/env', 'hl')))", result="EXDEV"),
    Case("remove the guest and the interpreter", KERNEL + "final_answer([attempt(lambda: os.unlink('/guest.zip')), attempt(lambda: os.unlink('/usr/bin/env'))])", result=["EROFS", "EROFS"]),
    Case("device nodes", KERNEL + "final_answer(attempt(lambda: os.mknod('sda', 0o60666, os.makedev(8, 0))) in ('EPERM', 'EACCES'))", result=True),
    Case("collect a symbolic link", "import os; os.symlink('/etc/passwd', 'out.txt')", collect=["*"], check=lambda answer: answer["files"] == _omitted("out.txt", "not_a_regular_file")),
    Case("collect through a linked folder", "import os; os.symlink('/etc', 'out')", collect=["**/passwd", "out/passwd"], check=lambda answer: answer["files"] == []),
    Case("collect a fifo", "import os; os.mkfifo('pipe')", collect=["*"], check=lambda answer: answer["files"] == _omitted("pipe", "not_a_regular_file")),
    Case("collect a socket", "import socket; s = socket.socket(socket.AF_UNIX); s.bind('sock')", collect=["*"], check=lambda answer: answer["files"] == _omitted("sock", "not_a_regular_file")),
    Case("collect a name that is not UTF-8", "open(b'\\xc3.txt', 'w').write('x')", collect=["*"], check=lambda answer: answer["files"][0]["omitted"] == "name_is_not_utf_8"),
    Case("collect a huge sparse file", "f = open('s', 'wb'); f.truncate(60 << 20)", collect=["*"], check=lambda answer: answer["files"] == [{"path": "s", "size_bytes": 60 << 20, "encoding": None, "content": None, "omitted": "too_large"}]),
    Case("collect too many", "for i in range(200): open(f'{i:03}', 'w').close()", collect=["*"], check=lambda answer: len(answer["files"]) == 33 and answer["files"][-1]["omitted"] == "too_many"),
    Case("collect a forbidden file", "import os; open('f', 'w').write('x'); os.chmod('f', 0)", collect=["*"], check=lambda answer: answer["files"] == _omitted("f", "unreadable")),
    Case("folders a thousand deep", "import os\nfor _ in range(1000): os.mkdir('a'); os.chdir('a')\nopen('x', 'w').close()", collect=["**"], check=lambda answer: answer["files"] == []),
    Case("swap a collected name while it is read", "import os, subprocess\nopen('f', 'w').write('mine')\nsubprocess.Popen(['sh', '-c', 'while :; do ln -sf /etc/passwd f; rm -f f; echo mine > f; done'])\nimport time; time.sleep(0.2)", collect=["f"], check=lambda answer: all("sandbox:" not in (file["content"] or "") for file in answer["files"])),
    Case("delete the working directory's contents", "import shutil; shutil.rmtree('.', ignore_errors=True); final_answer(1)", result=1, collect=["**"], files=[{"path": "a/b", "content": "x"}], check=lambda answer: answer["files"] == []),
    Case("walk the private places", "import os\nseen = {}\nfor p in ('..', '/tmp', '/home', '/var', '/root', '/run', '/srv'):\n  try: seen[p] = sorted(set(os.listdir(p)) - {'program.py'})\n  except OSError: pass\nfinal_answer({k: v for k, v in seen.items() if k != '..'})", result={"/tmp": []}),  # noqa: S108
    Case("the guest's archive", WRITE + "final_answer(attempt(lambda: open('/guest.zip', 'rb').read(1)) in ('EACCES', 'ENOENT'))", result=True),
    Case("open another process's root", WRITE + "final_answer([attempt(lambda p=p: os.listdir(p)) for p in ('/proc/1/root', '/proc/1/cwd')])", result=["EACCES", "EACCES"], needs_proc=True),
    Case("the process tree above", "import os; final_answer([os.getppid() < 20, os.getpgid(1) in (0, 1), os.getsid(0) in (0, 1)])", result=[True, True, True]),
    Case("odd names that are fine", "final_answer([open(p).read() for p in ('0.jpg', 'folder/hm', 'numbers/0123', 'back\\\\slash')])", result=["a", "b", "c", "d"], files=[{"path": "./0.jpg", "content": "a"}, {"path": "folder/hm", "content": "b"}, {"path": "numbers/0123", "content": "c"}, {"path": "back\\slash", "content": "d"}]),
    Case("a nested input file", "print(open('dir1/dir2/dir3/flag').read(), end='')", stdout="here", files=[{"path": "dir1/dir2/dir3/flag", "content": "here"}]),
    Case("bytes in are the bytes read", "final_answer(list(open('b', 'rb').read()))", result=[255, 0, 171], files=[{"path": "b", "content": "/wCr", "encoding": "base64"}]),
    Case("a folder nobody may enter", "import os; os.makedirs('d/e'); open('d/e/f', 'w').close(); os.chmod('d', 0)", collect=["**"], check=lambda answer: answer["files"] == []),
    Case("write a link that leads out, then through it", WRITE + "os.symlink('/etc', 'e'); final_answer(write('e/x'))", result="EROFS"),
    Case("mount points stay", KERNEL + "final_answer([attempt(lambda p=p: os.rmdir(p)) in ('EROFS', 'EACCES', 'EBUSY') for p in ('/tmp', '/dev/shm')])", result=[True, True]),
    Case("landlock holds without the mounts", KERNEL + "final_answer(attempt(lambda: os.open('/guest.zip', os.O_RDONLY)) in ('EACCES', 'ENOENT'))", result=True),
    Case("oom score", "final_answer(int(open('/proc/self/oom_score_adj').read()))", result=1000, needs_proc=True),
    Case("collect what was swapped by a rename", "import os\nopen('a', 'w').write('mine'); os.symlink('/etc/passwd', 'b'); os.replace('b', 'a')", collect=["a"], check=lambda answer: answer["files"] == _omitted("a", "not_a_regular_file")),
    Case("collect a hundred links", "import os\nfor i in range(100): os.symlink('/etc/passwd', str(i))", collect=["*"], check=lambda answer: {file["omitted"] for file in answer["files"]} == {"not_a_regular_file", "too_many"}),
    Case("collect device-like and hard-linked names", "import os\nopen('a', 'w').write('mine'); os.link('a', 'b')", collect=["*"], check=lambda answer: [file["content"] for file in answer["files"]] == ["mine", "mine"]),
]  # fmt: skip
