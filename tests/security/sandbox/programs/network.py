from __future__ import annotations

from tests.security.sandbox.case import KERNEL, Case

CONNECT = (
    KERNEL
    + """
def connect(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        return attempt(lambda: s.connect(address) or 'connected')
"""
)

CASES = [
    Case("connect to an address outside", CONNECT + "final_answer(connect(socket.AF_INET, ('192.0.2.1', 80)))", result="ENETUNREACH"),
    Case("connect over IPv6", CONNECT + "final_answer(connect(socket.AF_INET6, ('2001:db8::1', 80)) in ('ENETUNREACH', 'EADDRNOTAVAIL'))", result=True),
    Case("the cloud's metadata address", CONNECT + "final_answer(connect(socket.AF_INET, ('169.254.169.254', 80)))", result="ENETUNREACH"),
    Case("the services on the host's loopback", CONNECT + "final_answer({connect(socket.AF_INET, ('127.0.0.1', p)) for p in (8000, 8001, 8002, 8003, 5432, 6379)})", result=["ECONNREFUSED"]),
    Case("names", "import socket\ntry: socket.getaddrinfo('example.com', 80)\nexcept socket.gaierror: final_answer('unresolved')", result="unresolved"),
    Case("a datagram to a name server", CONNECT + "final_answer([connect(socket.AF_INET, ('192.0.2.53', 53), socket.SOCK_DGRAM), connect(socket.AF_INET, ('127.0.0.11', 53), socket.SOCK_DGRAM)])", result=["ENETUNREACH", "connected"]),
    Case("http by the library", "import urllib.request\ntry: urllib.request.urlopen('http://192.0.2.1/')\nexcept OSError as e: final_answer(type(e).__name__)", result="URLError"),
    Case("abstract sockets of the host", "found = open('/proc/net/unix').read().count('@')\nfinal_answer(found)", result=0, needs_proc=True),
    Case("a raw socket", KERNEL + "final_answer(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and 'made'))", result="EPERM"),
    Case("netlink, packet, vsock, alg, bluetooth, xdp", KERNEL + "final_answer([attempt(lambda f=f: socket.socket(f, socket.SOCK_RAW) and 'made') for f in (16, 17, 40, 38, 31, 44)])", result=["EAFNOSUPPORT"] * 6),
    Case("a family with its upper half set", KERNEL + "final_answer([call(41, (1 << 32) | f, 2, 0) for f in (1, 2, 16, 40)])", result=["EAFNOSUPPORT"] * 4),
    Case("a pair of another family", KERNEL + "final_answer(call(53, 40, 1, 0, (ctypes.c_int * 2)()))", result="EAFNOSUPPORT"),
    Case("configure an interface", KERNEL + "import fcntl\ns = socket.socket()\nfinal_answer(attempt(lambda: fcntl.ioctl(s, 0x8914, b'lo'.ljust(40, b'\\0')) and 'set'))", result="EPERM"),
    Case("its own loopback works", "import socket\ns = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); a, _ = s.accept(); c.sendall(b'hi'); final_answer(a.recv(2).decode())", result="hi"),
    Case("an abstract socket of the service", CONNECT + "final_answer([connect(socket.AF_UNIX, '\\0' + name) in ('ECONNREFUSED', 'EPERM') for name in ('name', 'astrolabe', 'dbus')])", result=[True] * 3),
    Case("sockets by path", CONNECT + "final_answer([connect(socket.AF_UNIX, p) for p in ('/run/docker.sock', '/var/run/docker.sock', '/run/systemd/private')])", result=["ENOENT"] * 3),
    Case("other services by name", "import socket\nfound = []\nfor n in ('postgres', 'redis', 'db', 'codetree', 'planner'):\n  try: found.append(socket.create_connection((n, 5432), 1))\n  except OSError: pass\nfinal_answer(len(found))", result=0),
    Case("what was printed before a failed request is kept", "print('before')\nimport urllib.request; urllib.request.urlopen('http://example.com/')", "error", stdout="before\n", stderr_has="URLError"),
    Case("interfaces", "import socket; final_answer([name for _, name in socket.if_nameindex()] if False else sorted(line.split(':')[0].strip() for line in open('/proc/net/dev').read().splitlines()[2:] if not line.strip().startswith(('sit', 'tun', 'ip', 'gre', 'erspan'))))", result=["lo"], needs_proc=True),
    Case("broadcast", CONNECT + "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); final_answer(attempt(lambda: s.sendto(b'x', ('255.255.255.255', 9))))", result="ENETUNREACH"),
    Case("listen on every address", "import socket; s = socket.create_server(('0.0.0.0', 8003)); final_answer(s.getsockname()[1])", result=8003),
]  # fmt: skip
