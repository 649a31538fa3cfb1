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
    Case("connect over IPv6", CONNECT + "final_answer(connect(socket.AF_INET6, ('2001:db8::1', 80)))", result="ENETUNREACH"),
    Case("the cloud's metadata address", CONNECT + "final_answer(connect(socket.AF_INET, ('169.254.169.254', 80)))", result="ENETUNREACH"),
    Case("the services on the host's loopback", CONNECT + "final_answer({connect(socket.AF_INET, ('127.0.0.1', p)) for p in (8000, 8001, 8002, 8003, 5432, 6379)})", result=["ECONNREFUSED"]),
    Case("names", "import socket\ntry: socket.getaddrinfo('example.com', 80)\nexcept socket.gaierror: final_answer('unresolved')", result="unresolved"),
    Case("a datagram to a name server", CONNECT + "final_answer([connect(socket.AF_INET, ('192.0.2.53', 53), socket.SOCK_DGRAM), connect(socket.AF_INET, ('127.0.0.11', 53), socket.SOCK_DGRAM)])", result=["ENETUNREACH", "connected"]),
    Case("http by the library", "import urllib.request\ntry: urllib.request.urlopen('http://192.0.2.1/')\nexcept OSError as e: final_answer(type(e).__name__)", result="URLError"),
    Case("abstract sockets of the host", "found = open('/proc/net/unix').read().count('@')\nfinal_answer(found)", result=0),
    Case("a raw socket", KERNEL + "final_answer(attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and 'made'))", result="EPERM"),
    Case("netlink, packet, vsock, alg, bluetooth, xdp", KERNEL + "final_answer([attempt(lambda f=f: socket.socket(f, socket.SOCK_RAW) and 'made') for f in (16, 17, 40, 38, 31, 44)])", result=["EAFNOSUPPORT"] * 6),
    Case("a family with its upper half set", KERNEL + "final_answer([call(41, (1 << 32) | f, 2, 0) for f in (1, 2, 16, 40)])", result=["EAFNOSUPPORT"] * 4),
    Case("a pair of another family", KERNEL + "final_answer(call(53, 40, 1, 0, (ctypes.c_int * 2)()))", result="EAFNOSUPPORT"),
    Case("configure an interface", KERNEL + "import fcntl\ns = socket.socket()\nfinal_answer(attempt(lambda: fcntl.ioctl(s, 0x8914, b'lo'.ljust(40, b'\\0')) and 'set'))", result="EPERM"),
    Case("its own loopback works", "import socket\ns = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); a, _ = s.accept(); c.sendall(b'hi'); final_answer(a.recv(2).decode())", result="hi"),
]  # fmt: skip
