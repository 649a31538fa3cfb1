"""Parts for a small stack: ``python -m tests.support.part serve NAME | idle | fail | stubborn``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        visible = [name for name in ("ASTROLABE_DATABASE_URL", "ASTROLABE_REDIS_URL") if name in os.environ]
        self.wfile.write(",".join(visible).encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main(action: str, name: str = "") -> None:
    match action:
        case "serve":
            HTTPServer(("127.0.0.1", int(os.environ[f"ASTROLABE_{name.upper()}_PORT"])), Ready).serve_forever()
        case "fail":
            raise SystemExit("this part cannot start: no such thing")
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            threading.Event().wait()
        case _:
            threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
