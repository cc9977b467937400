"""Web pages that the user visits must not reach a service that needs no key.

A page's own name may be made to point to this machine (DNS rebinding): then the Host header names the page, not the
machine. And a page may send requests that it cannot read the answers of: then Origin and Sec-Fetch-Site name it.
A key keeps both out by itself, since it travels in a header that no browser adds.
"""

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request

from api.access.caller import SAFE_METHODS
from api.http.errors import CrossSiteError, UnknownHostError
from core.settings import Settings

OWN_SITE = frozenset({"same-origin", "none"})
"""What Sec-Fetch-Site says of our own pages, and of what the user did without a page."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens here.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Hosts:
    """The names that this service goes by: loopback's, `host`, and those of `allowed_hosts`."""

    def __init__(self, settings: Settings) -> None:
        self._listed = frozenset(name.lower() for name in settings.allowed_hosts)
        self._own = self._listed | {settings.host.lower()}

    def check(self, request: Request, *, has_key: bool) -> None:
        """Let a request pass that this service is meant by, and that no other site has sent.

        Raises:
            UnknownHostError: it is addressed to a name that is not ours.
            CrossSiteError: another site's page has sent it.
        """
        if self._listed or not has_key:
            self._check_host(request.headers.get("host", ""))
        if not has_key and request.method not in SAFE_METHODS:
            self._check_origin(request)

    def _check_host(self, host: str) -> None:
        name = _name("//" + host)
        if not (name in self._own or is_loopback(name)):
            raise UnknownHostError(
                f"This service is not called {name[:200]!r}. Ask for it as localhost, or let the operator add the "
                "name to EMBEDREEL_ALLOWED_HOSTS."
            )

    def _check_origin(self, request: Request) -> None:
        site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
        if site in OWN_SITE and (origin is None or self._is_ours(origin, request.headers.get("host", ""))):
            return
        raise CrossSiteError(
            "A page of another site may change nothing here. Give the service a key (EMBEDREEL_API_KEY) and send that, "
            "or let the operator add the site's name to EMBEDREEL_ALLOWED_HOSTS."
        )

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin.partition("://")[2].lower() == host.lower() or _name(origin) in self._listed


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # "//[::1"
        return ""
