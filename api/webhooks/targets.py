"""Parse a webhook's URL, resolve its host, and check the addresses before anything is sent.

One regular expression parses the URL, and the connection uses its groups. No second parser can therefore read another
host from the same URL. URLs that do not match are refused: those with a user or password, fragments, backslashes,
escapes in the host, or characters beyond ASCII.
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
"""Maximum length of a URL, characters. Chosen by hand; not measured."""

MAX_HOST_LENGTH = 253
"""Maximum length of a host name, characters. It follows from the 255 octets of RFC 1035."""

ADDRESSES_TRIED = 8
"""Maximum number of addresses of a host to which a connection is tried. Chosen by hand; not measured."""

LOOKUPS_AT_ONCE = 32
"""Maximum number of DNS lookups at a time in this process. Chosen by hand; not measured."""

HTTPS_PORT, HTTP_PORT = 443, 80
UNPRIVILEGED_PORTS = range(
    1024, 65536
)  # lower ports belong to mail, ssh and similar services, which are no webhook receivers

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
    """A parsed URL and the addresses of its host.

    Attributes:
        tls: the scheme is https.
        host: in lower case; an IPv6 address without brackets.
        port: 1 to 65535.
        path: path and query.
        addresses: IP addresses to try in this order, at most ADDRESSES_TRIED.
    """

    tls: bool
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def find(url: str, *, allow_private: bool, seconds: float) -> Target:
    """Parse a URL and resolve its host.

    Args:
        url: the URL, as sent by the user.
        allow_private: also accept http, any port, host names without a dot, and addresses that are not public.
        seconds: time limit of the DNS lookup.

    Raises:
        RefusedUrlError: the URL is invalid, its host is not found, or the service does not send to it.
    """
    parts = _URL.fullmatch(url) if len(url) <= MAX_URL_LENGTH else None
    if parts is None:
        raise _refused(
            f"write the URL as https://host/path?query, with at most {MAX_URL_LENGTH} ASCII characters, and without "
            "user, password and fragment; write other letters of a host name in the xn-- form"
        )
    tls = parts["scheme"].lower() == "https"
    if not tls and not allow_private:
        raise _refused("the URL must begin with https://")
    port = _port(parts["port"], tls=tls, allow_private=allow_private)
    host, addresses = _addresses(parts["host"].lower(), port, allow_private=allow_private, seconds=seconds)
    if not allow_private and not all(is_public(address) for address in addresses):
        raise _refused(f"{host} is or resolves to an address that is not public")
    path = parts["path"] if parts["path"].startswith("/") else f"/{parts['path']}"
    return Target(tls, host, port, path, tuple(str(address) for address in addresses[:ADDRESSES_TRIED]))


def _port(written: str | None, *, tls: bool, allow_private: bool) -> int:
    if written is None:
        return HTTPS_PORT if tls else HTTP_PORT
    port = int(written)
    if port == HTTPS_PORT or port in UNPRIVILEGED_PORTS or (allow_private and port in range(1, 1024)):
        return port
    raise _refused("the port must be 443, or from 1024 to 65535")


def _addresses(
    host: str, port: int, *, allow_private: bool, seconds: float
) -> tuple[str, list[IPv4Address | IPv6Address]]:
    """Return the host without brackets, and its addresses."""
    if host.startswith("[") or _NUMBER.fullmatch(
        host.rpartition(".")[2]
    ):  # also 127.1 and 0x7f.1: no host name ends in a number
        try:
            literal = IPv6Address(host.strip("[]")) if host.startswith("[") else IPv4Address(host)
        except ValueError:
            raise _refused("the host is not a valid IP address") from None
        return str(literal), [literal]
    labels = host.split(".")
    proper = len(host) <= MAX_HOST_LENGTH and all(_LABEL.fullmatch(label) for label in labels)
    if not proper or (len(labels) == 1 and not allow_private):
        raise _refused("the host must be a full name, such as hooks.example.com")
    return host, _look_up(host, port, seconds)


def _look_up(host: str, port: int, seconds: float) -> list[IPv4Address | IPv6Address]:
    """Return all addresses of a host name, in the order in which to try them."""
    addresses = [ip_address(address) for address in _resolve_within(host, port, seconds)]
    if not addresses:
        raise _refused(f"{host} could not be found; check the name, or try again")
    return addresses


def _resolve_within(host: str, port: int, seconds: float) -> list[str]:
    """Resolve a host name in a thread, because the system's resolver has no time limit of its own.

    Args:
        host: host name.
        port: port that is passed to the resolver.
        seconds: time limit for waiting for one of LOOKUPS_AT_ONCE places and for the lookup together.

    Returns:
        The addresses; empty if the lookup fails or takes too long.
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
