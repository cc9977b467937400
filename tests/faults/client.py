"""A correct client: it repeats a request that was not answered, with the same Idempotency-Key."""

import http.client
import json
import time

from embedreel.retry import IN_FLIGHT

REPEAT_SECONDS = 0.05
ANSWER_SECONDS = 10.0
"""An answer that takes longer counts as a hang, for any cause."""


class Answer:
    """Status, content type, body and duration of an answer."""

    def __init__(self, status, content_type, body, seconds):
        self.status, self.content_type, self.seconds = status, content_type, seconds
        self.body = json.loads(body) if body and "json" in (content_type or "") else body

    @property
    def later(self):
        """Return True if the answer asks the client to try again later.

        A killed process keeps its Idempotency-Key until PostgreSQL detects the lost connection.
        """
        return self.status == 503 or (self.status == 409 and self.body["type"].endswith(IN_FLIGHT))


def ask(port, method, path, body=None, *, key=None, timeout=ANSWER_SECONDS + 5):
    """Send one request.

    Raises:
        OSError: there was no answer.
    """
    headers = {"Content-Type": "application/json"} if body is not None else {}
    headers |= {"Idempotency-Key": key} if key else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    began = time.monotonic()
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers["Content-Type"], answer.read(), time.monotonic() - began)
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def insist(ports, method, path, body=None, *, key=None, seconds=60.0):
    """Repeat a request, at each port in turn, until an answer does not ask to try again later.

    Returns:
        The answer, and the number of requests that were sent.
    """
    deadline, sent = time.monotonic() + seconds, 0
    while True:
        sent += 1
        try:
            answer = ask(ports[sent % len(ports)], method, path, body, key=key)
            if not answer.later:
                return answer, sent
        except OSError:
            pass
        assert time.monotonic() < deadline, f"{method} {path} was not answered in {seconds} s"
        time.sleep(REPEAT_SECONDS)
