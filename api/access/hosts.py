"""Protection of a service without keys against web pages that its user visits.

DNS rebinding: a page makes its own name resolve to this machine. The Host header then names the page, and the check of
Host rejects the request. Cross-site requests: a page sends a request although it cannot read the response. The headers
Origin and Sec-Fetch-Site then name the page, and the check of Origin rejects the request.
A service with keys needs neither check, because browsers never add the key's header by themselves.
"""

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request

from api.access.caller import SAFE_METHODS
from api.http.errors import CrossSiteError, UnknownHostError
from core.settings import Settings

OWN_SITE = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site that are accepted: requests of this service's own pages, and requests that no page sent."""


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a service that listens on `host`.

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
    """The host names of this service: loopback names, `host`, and the names in `allowed_hosts`."""

    def __init__(self, settings: Settings) -> None:
        self._listed = frozenset(name.lower() for name in settings.allowed_hosts)
        self._own = self._listed | {settings.host.lower()}

    def check(self, request: Request, *, has_key: bool) -> None:
        """Check that a request is addressed to this service and that no other site's page sent it.

        Args:
            request: the request.
            has_key: the request carries a valid key. The Host check then applies only if `allowed_hosts` is set, and
                the Origin check does not apply.

        Raises:
            UnknownHostError: the Host header names another host.
            CrossSiteError: another site's page sent the request.
        """
        if self._listed or not has_key:
            self._check_host(request.headers.get("host", ""))
        if not has_key and request.method not in SAFE_METHODS:
            self._check_origin(request)

    def _check_host(self, host: str) -> None:
        name = _name("//" + host)
        if not (name in self._own or is_loopback(name)):
            raise UnknownHostError(
                f"The host name {name[:200]!r} does not belong to this service. Use localhost, or ask the operator to "
                "add the name to EMBEDREEL_ALLOWED_HOSTS."
            )

    def _check_origin(self, request: Request) -> None:
        site, origin = request.headers.get("sec-fetch-site", "none"), request.headers.get("origin")
        if site in OWN_SITE and (origin is None or self._is_ours(origin, request.headers.get("host", ""))):
            return
        raise CrossSiteError(
            "A page of another site may change nothing on this service. Set a key for the service (EMBEDREEL_API_KEY) "
            "and send the key, or ask the operator to add the site's name to EMBEDREEL_ALLOWED_HOSTS."
        )

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin.partition("://")[2].lower() == host.lower() or _name(origin) in self._listed


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # "//[::1"
        return ""
