"""POST to a checked target: to the address that was checked, within a time and a size, following nothing.

The name is not looked up again, so it cannot lead elsewhere by now; TLS still asks for the name's certificate.
Redirects are answers like others, and proxies of the environment are not asked.
"""

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache

from api.webhooks.targets import HTTP_PORT, HTTPS_PORT, Target

MAX_ANSWER_BYTES = 64 << 10

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """What a receiver said.

    Attributes:
        status: None where there was no answer.
        error: then, what happened.
        retry_after: seconds that it asks to wait.
    """

    status: int | None
    error: str | None = None
    retry_after: float | None = None


def post(target: Target, body: bytes, headers: Mapping[str, str], *, seconds: float) -> WebhookResponse:
    """Send a POST and hear the answer. Raises nothing that a receiver could cause.

    Args:
        seconds: for all of it: connecting, sending, and the answer. Where none is left, nothing is sent.
    """
    if seconds <= 0:
        return WebhookResponse(None, "No time was left to send it.")
    deadline = time.monotonic() + seconds
    connection = _Pinned(target, deadline)
    # A timeout of the socket starts again with every byte; this one does not.
    cut = threading.Timer(seconds, connection.cut)
    cut.daemon = True
    cut.start()
    try:
        connection.request("POST", target.path, body, dict(headers))
        response = connection.getresponse()
        if time.monotonic() >= deadline:  # its headers were cut, and look as if they had ended
            raise TimeoutError
        return _response_of(response)
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        return WebhookResponse(None, f"It did not answer within {seconds:.0f} seconds." if late else _reason(error))
    finally:
        cut.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the target's addresses, whatever its name means by now."""

    def __init__(self, target: Target, deadline: float) -> None:
        super().__init__(target.host, target.port)
        self.default_port = HTTPS_PORT if target.tls else HTTP_PORT  # left out of the Host header
        self._target = target
        self._deadline = deadline
        self._opened: socket.socket | None = None  # `sock` is gone while the answer's body is read

    def connect(self) -> None:
        """Connect, and for https make sure that the receiver has the name's certificate.

        Raises:
            OSError: no address can be reached in time, or the certificate is another's.
        """
        plain = _first_that_answers(self._target, self._deadline)
        if self._target.tls:
            # The handshake waits until `cut` can find the socket.
            wrap = _context().wrap_socket
            self.sock = wrap(plain, server_hostname=self._target.host, do_handshake_on_connect=False)
        else:
            self.sock = plain
        self._opened = self.sock
        if time.monotonic() >= self._deadline:
            raise TimeoutError
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock.do_handshake()

    def cut(self) -> None:
        """End whatever is under way, from another thread."""
        if self._opened is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._opened, socket.SHUT_RDWR)  # TLS would say goodbye first


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _first_that_answers(target: Target, deadline: float) -> socket.socket:
    failure: OSError = TimeoutError()
    for tried, address in enumerate(target.addresses):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connected = socket.create_connection((address, target.port), left / (len(target.addresses) - tried))
        except OSError as error:
            failure = error
            continue
        connected.settimeout(left)
        return connected
    raise failure


def _response_of(response: http.client.HTTPResponse) -> WebhookResponse:
    """The answer's status; of its body so much is read that an honest receiver can end in peace."""
    with response, suppress(OSError, http.client.HTTPException):
        response.read(MAX_ANSWER_BYTES)
    return WebhookResponse(response.status, retry_after=_seconds(response.headers.get("Retry-After", "")))


def _seconds(retry_after: str) -> float | None:
    """Seconds from now, however the header says it."""
    if _SECONDS.fullmatch(retry_after):
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return None


def _reason(error: Exception) -> str:
    """In words of our own: what a receiver sends is not repeated."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"Its certificate is not accepted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "It does not speak TLS as it should."
    if isinstance(error, TimeoutError):
        return "It could not be connected to in time."
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "It closed the connection without an answer."
    if isinstance(error, OSError):
        return f"It could not be connected to: {error.strerror or type(error).__name__}."
    return "What it answered is not HTTP."
