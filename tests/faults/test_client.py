"""The client repeats a request only if the answer asks for it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.faults import client

IN_FLIGHT = (409, {"type": "http://localhost/problems/idempotency-in-flight"})
ENDED = (409, {"type": "http://localhost/problems/conflict"})
AWAY = (503, {"type": "http://localhost/problems/storage-unavailable"})
MADE = (202, {"id": "run_1"})


@pytest.fixture
def answering():
    """Start a server that gives these answers in order. Returns its port."""
    servers = []

    def start(*answers):
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                status, body = left.pop(0)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_arguments):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("later", [IN_FLIGHT, AWAY])
def test_insist__repeats_while_the_answer_says_later(answering, later):
    answer, sent = client.insist([answering(later, later, MADE)], "POST", "/v1/runs", key="mine")
    assert (answer.status, answer.body, sent) == (*MADE, 3)


def test_insist__any_other_conflict_is_an_answer(answering):
    answer, sent = client.insist([answering(ENDED, MADE)], "POST", "/v1/runs", key="mine")
    assert (answer.status, answer.body, sent) == (*ENDED, 1)
