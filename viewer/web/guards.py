"""Who may talk to the page: checks of Host and Origin, and the headers that every answer carries.

A page of another site can make a browser send requests here, and a name that it controls can be made to lead to
this machine (DNS rebinding). So a request must name this machine as its host, and whatever changes something must
come from a page of the same host. A visitor is known by the long random token in the path, never by a cookie.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import cache
from urllib.parse import urlsplit

from aiohttp import web

__all__ = ["Guard", "is_local"]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
_LOCAL_FRAMES = "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:* vscode-webview:"


def is_local(host: str) -> bool:
    """Say whether an address that is bound to can be reached from this machine only.

    Examples
    --------
    >>> is_local("127.0.0.1"), is_local("::1"), is_local("localhost"), is_local("0.0.0.0")
    (True, True, True, False)
    """
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


class Guard:
    """The rules for one bound address.

    Parameters
    ----------
    host : str
        What the page is bound to.
    framed : bool
        Whether a notebook on this machine may show the page in a frame; otherwise only the page itself may.
    """

    def __init__(self, host: str, framed: bool = False) -> None:
        self._host, self._local = host.lower(), is_local(host)
        self._framed = framed
        self._frames = f"'self' {_LOCAL_FRAMES}" if framed else "'self'"

    @web.middleware
    async def middleware(self, request: web.Request, handler: web.Handler) -> web.StreamResponse:
        """Refuse a request that names another host, or that would change something from another page."""
        self.check_host(request)
        if request.method in _UNSAFE:
            self.check_origin(request)
        return await handler(request)

    def check_host(self, request: web.BaseRequest) -> None:
        """Raise HTTPForbidden unless the request names this machine.

        The port is not compared: behind a forwarded port, as of ssh -L, the browser names that one.
        """
        if not self.knows(request.host):
            raise web.HTTPForbidden(text="This page is not served under that name; open the address it printed.\n")

    def knows(self, host: str) -> bool:
        """Say whether a Host header's value names this machine.

        A name that someone else controls may lead here; an address of numbers cannot be made to. So away from
        the loopback every address passes, and of names only this machine's own.
        """
        match = _HOST.fullmatch(host.lower())
        if match is None:
            return False
        name = match["name"]
        address = _address(name)
        if address is not None:
            return address.is_loopback or not self._local
        return name == "localhost" or name == self._host or (not self._local and name in _own_names())

    def check_origin(self, request: web.BaseRequest) -> None:
        """Raise HTTPForbidden unless the request comes from a page of the host that it goes to."""
        origins = request.headers.getall("Origin", [])
        try:
            parts = urlsplit(origins[0] if len(origins) == 1 else "")
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.netloc.lower() != request.host.lower():
            raise web.HTTPForbidden(text="This must come from the page itself.\n")

    def check_arrival(self, request: web.BaseRequest) -> None:
        """Raise HTTPForbidden unless somebody goes to the page: other pages cannot make visitors by themselves."""
        shown_as = ("document", "iframe") if self._framed else ("document",)
        if (
            request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
            or request.headers.get("Sec-Fetch-Dest", "document") not in shown_as
        ):
            raise web.HTTPForbidden(text="This is a page, not a part of another one.\n")

    async def add_headers(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Set the headers of every answer (a signal handler for on_response_prepare)."""
        host = request.host if self.knows(request.host) else ""
        sockets = f" ws://{host} wss://{host}" if host else ""  # which 'self' does not cover in every browser
        policy = (
            "default-src 'none'; script-src 'self' 'unsafe-eval'; "  # templates are compiled in the browser
            "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; font-src 'self'; "
            f"connect-src 'self'{sockets}; manifest-src 'self'; base-uri 'self'; form-action 'none'; "
            f"frame-ancestors {self._frames}"
        )
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["Server"] = "voxgan"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


@cache
def _own_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset({name, f"{name}.local", socket.getfqdn().lower()} - {""})
