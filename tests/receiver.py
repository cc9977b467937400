"""An HTTP server on loopback that receives webhooks, records the requests, and gives prepared answers."""

import json
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request."""

    path: str
    headers: dict
    body: bytes
    at: float

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Receiver:
    """A server and the requests that it has received.

    Attributes:
        url: address of the server.
        port: its port.
        answers: one for each request, in order; the last one is used for all further requests. Each answer is an HTTP
            status, or a function that writes the answer.
        received: the requests, in order.
        headers: headers of each answer.
    """

    url: str = ""
    port: int = 0
    answers: list = field(default_factory=lambda: [204])
    received: list = field(default_factory=list)
    headers: dict = field(default_factory=dict)

    def wait(self, count, *, seconds=60):
        """Wait until `count` requests have been received, and return them."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} requests came"
            time.sleep(0.01)
        return self.received[:count]


@contextmanager
def receiving(*answers, tls=None, **headers):
    """Run a receiver during the block."""
    receiver = Receiver(answers=list(answers) or [204], headers=headers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(ReceivedRequest(self.path, sent, body, time.time()))
            answer = receiver.answers.pop(0) if len(receiver.answers) > 1 else receiver.answers[0]
            if callable(answer):
                answer(self)
                return
            self.send_response(answer)
            for name, value in receiver.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self):
            receiver.received.append(ReceivedRequest(self.path, {}, b"", time.time()))
            self.send_error(405)

        def log_message(self, *args):
            pass

    server = _Quiet(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{receiver.port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address):
        """Ignore errors: tests include clients that disconnect."""


def server_context(authority, *names):
    """Return the TLS context of a receiver with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context
