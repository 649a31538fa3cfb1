from __future__ import annotations

from tests.security.sandbox.case import KERNEL, Case

# Number on x86-64 and arguments of calls that must answer EPERM.
REFUSED = {
    "ptrace": (101, 16, 1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "pidfd_getfd": (438, 0, 0, 0),
    "kcmp": (312, 1, 2, 0, 0, 0),
    "unshare": (272, 0x10000000),
    "setns": (308, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "umount2": (166, 0, 0),
    "pivot_root": (155, 0, 0),
    "chroot": (161, 0),
    "fsopen": (430, 0, 0),
    "open_tree": (428, 0, 0, 0),
    "move_mount": (429, 0, 0, 0, 0, 0),
    "mount_setattr": (442, 0, 0, 0, 0, 0),
    "open_by_handle_at": (304, 0, 0, 0),
    "keyctl": (250, 1, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "request_key": (249, 0, 0, 0, 0),
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "userfaultfd": (323, 1),
    "io_uring_setup": (425, 8, 0),
    "io_uring_enter": (426, 0, 0, 0, 0, 0, 0),
    "io_uring_register": (427, 0, 0, 0, 0),
    "modify_ldt": (154, 0, 0, 0),
    "personality": (135, 0x0040000),
    "memfd_secret": (447, 0),
    "fanotify_init": (300, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "finit_module": (313, 0, 0, 0),
    "reboot": (169, 0, 0, 0, 0),
    "swapon": (167, 0, 0),
    "acct": (163, 0),
    "quotactl": (179, 0, 0, 0, 0),
    "iopl": (172, 3),
    "ioperm": (173, 0, 1, 1),
    "sethostname": (170, 0, 0),
    "settimeofday": (164, 0, 0),
    "clock_settime": (227, 0, 0),
    "syslog": (103, 3, 0, 0),
    "move_pages": (279, 1, 0, 0, 0, 0, 0),
    "vmsplice": (278, 0, 0, 0, 0),
    "prlimit of PID 1": (302, 1, 0, 0, 0),
}

CASES = [
    *(Case(name, f"{KERNEL}final_answer(call{arguments})", result="EPERM") for name, arguments in REFUSED.items()),
    Case("clone into namespaces", KERNEL + "final_answer([call(56, flag | 17, 0, 0, 0, 0) for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)])", result=["EPERM"] * 7),
    Case("clone3", KERNEL + "final_answer(call(435, 0, 0))", result="ENOSYS"),
    Case("push characters into a terminal", KERNEL + "final_answer([call(16, 0, request, 0) for request in (0x5412, 0x100005412, 0x541C)])", result=["EPERM"] * 3),
    Case("x32 calls", KERNEL + "final_answer(call(0x40000000 + 39))", result="ENOSYS", needs_first_filter=True),
    Case("32-bit calls", KERNEL + """
import mmap
m = mmap.mmap(-1, 4096, prot=7)
m.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20 (getpid); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(m))
final_answer(ctypes.CFUNCTYPE(ctypes.c_int)(address)())
""", result=-38, needs_first_filter=True),
    Case("capabilities, privileges and filter", "import re; final_answer([re.search(n + r':\\s*(\\S+)', open('/proc/self/status').read())[1] for n in ('CapEff', 'CapPrm', 'CapBnd', 'NoNewPrivs', 'Seccomp')])", result=["0000000000000000"] * 3 + ["1", "2"], needs_proc=True),
    Case("become root", KERNEL + "final_answer([attempt(lambda: os.setuid(0)) in ('EINVAL', 'EPERM'), attempt(lambda: os.setgid(0)) in ('EINVAL', 'EPERM'), attempt(lambda: os.setgroups([0])), os.getuid()])", result=[True, True, "EPERM", 1000]),
    Case("set-user-id programs", "import subprocess; r = subprocess.run('su -c id || sudo -n id', shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL); final_answer('uid=0' in r.stdout)", result=False),
    Case("kill PID 1", "import os, signal\nfor s in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSTOP, signal.SIGUSR1): os.kill(1, s)\nfinal_answer('lived')", result="lived", in_a_container="killed"),
    Case("kill everyone", "import os\ntry: os.kill(-1, 9)\nexcept ProcessLookupError: final_answer('nobody')", result="nobody", in_a_container="killed"),
    Case("lock memory", KERNEL + "final_answer(call(151, 3))", result="EPERM"),
    Case("real-time scheduling", KERNEL + "final_answer(attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))))", result="EPERM"),
    Case("crash by bad bytecode", "exec((lambda: 0).__code__.replace(co_code=b'\\x64\\xff' * 99, co_consts=()))", "error", signal="SIGSEGV", exit_code=None),
    Case("null pointer", "import ctypes; ctypes.string_at(0)", "error", signal="SIGSEGV"),
    Case("abort", "import os; os.abort()", "error", signal="SIGABRT", exit_code=None),
]  # fmt: skip
