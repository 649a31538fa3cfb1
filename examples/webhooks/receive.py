#!/usr/bin/env python
"""Receive webhooks and check that Astrolabe sent them: `ASTROLABE_WEBHOOK_SECRET=whsec_... python receive.py 9000`."""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from astrolabe import WebhookVerificationError, verify_webhook

LARGEST_BODY_BYTES = 2**20


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what is genuine. Anything else but 2xx is delivered again later."""

    timeout = 10

    def do_POST(self) -> None:
        """Check, act, answer. The same delivery may come twice: remember `webhook-id` if that matters to you."""
        length = int(self.headers.get("Content-Length", 0))
        if length > LARGEST_BODY_BYTES:
            self.send_error(413)
            return
        try:
            event = verify_webhook(self.headers, self.rfile.read(length), os.environ["ASTROLABE_WEBHOOK_SECRET"])
        except WebhookVerificationError as error:
            self.send_error(401, explain=str(error))
            return
        sys.stdout.write(f"{event.get('type')}: {event.get('data')}\n")
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
