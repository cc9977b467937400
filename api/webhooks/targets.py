"""Where a webhook's URL leads, looked up and checked before anything is sent.

A URL is read by one pattern, and the connection is made from its groups: there is no second parser that could take it
for another. What the pattern does not know (user and password, fragments, backslashes, escapes in the host, letters
beyond ASCII) is refused.
"""

import queue
import re
import socket
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from api.http.errors import RefusedUrlError
from api.webhooks.public_addresses import is_public

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
ADDRESSES_TRIED = 8
LOOKUPS_AT_ONCE = 32
HTTPS_PORT, HTTP_PORT = 443, 80
UNPRIVILEGED_PORTS = range(1024, 65536)  # below are mail, ssh and their like, which no webhook has to speak to

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:[/?][a-z0-9._~!$&'()*+,;=:@/?%-]*)?)",
    re.ASCII | re.IGNORECASE,
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

_lookups = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, and the addresses that may be connected to.

    Attributes:
        host: in lower case; an IPv6 address without brackets.
        path: with the query.
    """

    tls: bool
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def find(url: str, *, allow_private: bool, seconds: float) -> Target:
    """The target of a URL.

    Args:
        allow_private: take http, any port, names without a dot and addresses that are not public too.
        seconds: that looking up the name may take.

    Raises:
        RefusedUrlError: it cannot be read, its name is not found, or it leads where this service does not send to.
    """
    parts = _URL.fullmatch(url) if len(url) <= MAX_URL_LENGTH else None
    if parts is None:
        raise _refused(
            f"write it as https://host/path?query, in at most {MAX_URL_LENGTH} ASCII characters, without user, "
            "password or fragment; a name with other letters in its xn-- form"
        )
    tls = parts["scheme"].lower() == "https"
    if not tls and not allow_private:
        raise _refused("it must begin with https://")
    port = _port(parts["port"], tls=tls, allow_private=allow_private)
    host, addresses = _addresses(parts["host"].lower(), port, allow_private=allow_private, seconds=seconds)
    if not allow_private and not all(is_public(address) for address in addresses):
        raise _refused(f"{host} is, or leads to, an address that is not public")
    path = parts["path"] if parts["path"].startswith("/") else f"/{parts['path']}"
    return Target(tls, host, port, path, tuple(str(address) for address in addresses[:ADDRESSES_TRIED]))


def _port(written: str | None, *, tls: bool, allow_private: bool) -> int:
    if written is None:
        return HTTPS_PORT if tls else HTTP_PORT
    port = int(written)
    if port == HTTPS_PORT or port in UNPRIVILEGED_PORTS or (allow_private and port in range(1, 1024)):
        return port
    raise _refused("its port must be 443, or one from 1024 to 65535")


def _addresses(
    host: str, port: int, *, allow_private: bool, seconds: float
) -> tuple[str, list[IPv4Address | IPv6Address]]:
    """The host without brackets, and its addresses."""
    if host.startswith("[") or _NUMBER.fullmatch(host.rpartition(".")[2]):  # 127.1 and 0x7f.1 too: no name ends so
        try:
            literal = IPv6Address(host.strip("[]")) if host.startswith("[") else IPv4Address(host)
        except ValueError:
            raise _refused("its host is not an IP address as it should be written") from None
        return str(literal), [literal]
    labels = host.split(".")
    proper = len(host) <= MAX_HOST_LENGTH and all(_LABEL.fullmatch(label) for label in labels)
    if not proper or (len(labels) == 1 and not allow_private):
        raise _refused("its host must be a full name, such as hooks.example.com")
    return host, _look_up(host, port, seconds)


def _look_up(host: str, port: int, seconds: float) -> list[IPv4Address | IPv6Address]:
    """All addresses of a name, in the order in which to try them."""
    addresses = [ip_address(address) for address in _resolve_within(host, port, seconds)]
    if not addresses:
        raise _refused(f"{host} could not be found; check the name, or try again")
    return addresses


def _resolve_within(host: str, port: int, seconds: float) -> list[str]:
    """What the system's resolver says; nothing if it fails or is too slow: it has no time limit of its own.

    `seconds` is for all of it: waiting for a free place among the look-ups, and the look-up.
    """
    deadline = time.monotonic() + seconds
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(address[0]) for *_, address in found])
        except (OSError, UnicodeError):
            answers.put([])
        finally:
            _lookups.release()

    if not _lookups.acquire(timeout=seconds):
        return []
    threading.Thread(target=resolve, name="lookup", daemon=True).start()
    try:
        return answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        return []


def _refused(reason: str) -> RefusedUrlError:
    return RefusedUrlError(f"This service does not send to the URL: {reason}.", field="url")
