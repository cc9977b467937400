"""POST to a checked target, with limits on time and response size.

The connection goes to the addresses that were checked. The host name is not resolved again, so a changed DNS record
cannot redirect it. TLS still verifies the certificate of the host name. Redirects are not followed, and proxies from
the environment are not used.
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
"""Maximum number of bytes that are read of a response's body. Chosen by hand; not measured."""

_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response of a receiver.

    Attributes:
        status: HTTP status; None if no response came.
        error: reason for the missing response; None if a response came.
        retry_after: seconds in the Retry-After header, or None.
    """

    status: int | None
    error: str | None = None
    retry_after: float | None = None


def post(target: Target, body: bytes, headers: Mapping[str, str], *, seconds: float) -> WebhookResponse:
    """Send a POST and return the response. A receiver's failure is returned as an error and never raised.

    Args:
        target: where to connect to.
        body: the request's body.
        headers: the request's headers, without Host and Content-Length.
        seconds: time limit for connecting, sending and the response together. If it is not positive, nothing is sent.
    """
    if seconds <= 0:
        return WebhookResponse(None, "No time was left to send the request.")
    deadline = time.monotonic() + seconds
    connection = _Pinned(target, deadline)
    # A socket's timeout restarts with every byte, but this timer does not.
    cut = threading.Timer(seconds, connection.cut)
    cut.daemon = True
    cut.start()
    try:
        connection.request("POST", target.path, body, dict(headers))
        response = connection.getresponse()
        if time.monotonic() >= deadline:  # the cut connection can look like the regular end of the headers
            raise TimeoutError
        return _response_of(response)
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= deadline
        return WebhookResponse(
            None, f"The receiver did not answer within {seconds:.0f} seconds." if late else _reason(error)
        )
    finally:
        cut.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to one of the target's checked addresses, without another DNS lookup."""

    def __init__(self, target: Target, deadline: float) -> None:
        super().__init__(target.host, target.port)
        self.default_port = HTTPS_PORT if target.tls else HTTP_PORT  # http.client omits this port from the Host header
        self._target = target
        self._deadline = deadline
        self._opened: socket.socket | None = None  # http.client sets `sock` to None while the response's body is read

    def connect(self) -> None:
        """Connect, and for https verify that the certificate belongs to the host name.

        Raises:
            OSError: no address can be reached in time, or the certificate is not valid for the host name.
        """
        plain = _first_that_answers(self._target, self._deadline)
        if self._target.tls:
            # The handshake starts below, after `_opened` is set, so that `cut` can end it.
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
        """Shut the connection down from another thread."""
        if self._opened is not None:
            with suppress(OSError):
                socket.socket.shutdown(
                    self._opened, socket.SHUT_RDWR
                )  # SSLSocket.shutdown would first end the TLS session


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
    """Return the response's status. Up to MAX_ANSWER_BYTES of the body are read, so that the receiver can finish."""
    with response, suppress(OSError, http.client.HTTPException):
        response.read(MAX_ANSWER_BYTES)
    return WebhookResponse(response.status, retry_after=_seconds(response.headers.get("Retry-After", "")))


def _seconds(retry_after: str) -> float | None:
    """Parse a Retry-After header (seconds or a date). Return the seconds from now, or None if it is invalid."""
    if _SECONDS.fullmatch(retry_after):
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no date, or one without a time zone
        return None


def _reason(error: Exception) -> str:
    """Describe a failure in our own words. Text from the receiver is never repeated."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The receiver's certificate is not accepted: {error.verify_message}."
    if isinstance(error, ssl.SSLError):
        return "The receiver does not follow the TLS protocol."
    if isinstance(error, TimeoutError):
        return "The connection to the receiver timed out."
    if isinstance(error, http.client.RemoteDisconnected | ConnectionResetError | BrokenPipeError):
        return "The receiver closed the connection without an answer."
    if isinstance(error, OSError):
        return f"The connection to the receiver failed: {error.strerror or type(error).__name__}."
    return "The receiver's answer is not HTTP."
