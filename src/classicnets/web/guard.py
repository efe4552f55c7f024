"""What reaches an application: requests of its own pages, of bounded size, with its token.

A server on the loopback device is within reach of every page that the browser shows: by requests
to its address, and by a name that resolves to it (DNS rebinding). So the Host must be one of the
server's own, and the Origin, which a browser names and a program leaves out, the same. Without the
token, which a server on another address has, nothing is answered.
"""

import asyncio
import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.websockets import WebSocketClose

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PATIENCE = 60.0  # seconds that the body of a request may take to arrive
FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
LOCKED = (
    "this server needs its token: open the address that was printed when it started, or send the "
    "header Authorization: Bearer TOKEN"
)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Address:
    """Where a server listens, and the token without which it answers nothing, if it has one."""

    host: str
    port: int
    token: str = ""

    @property
    def url(self) -> str:
        """The address to open; with the token, which becomes a cookie."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/" + f"?token={self.token}" * bool(self.token)

    def has_name(self, name: str) -> bool:
        """Whether a Host is this server's: with a token also any address of this machine, since
        only a name can be made to resolve to another one.
        """
        if name in LOOPBACK or name == self.host.lower():
            return True
        return bool(self.token) and (_is_ip(name) or name == socket.gethostname().lower())


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def host_name(host: str) -> str:
    """The name in a Host header, without its port.

    >>> host_name("localhost:8080"), host_name("[::1]:8080"), host_name("a@b")
    ('localhost', '::1', '')
    """
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if parts.netloc == host and "@" not in host else ""
    except ValueError:
        return ""


class Guard:
    """An ASGI application that refuses what is not meant for the one within.

    `policy` is its content security policy, and `largest` the bytes of the largest body.
    """

    def __init__(self, app: Any, address: Address, policy: str, largest: int):
        self.app, self.address, self.policy, self.largest = app, address, policy, largest
        self.cookie = f"classicnets-{address.port}"  # cookies of all ports go to each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refusal(scope, headers) or self._unlock(scope, headers)
        if answer is not None and scope["type"] == "websocket":
            await WebSocketClose(1008)(scope, receive, send)
        elif answer is not None:
            await answer(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            gone = asyncio.Event()
            try:
                await self.app(scope, self._bounded(receive, gone), self._with_headers(send))
            except RuntimeError:  # Starlette's middleware, of an answer that nobody waits for
                if not gone.is_set():
                    raise

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Why a request is refused before its token is looked at; None where it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.address.has_name(host_name(hosts[0])):
            return refusal(421, "this server answers only to its own address")
        origins = set(headers.getlist("origin"))
        own = {f"http://{hosts[0]}", f"https://{hosts[0]}"}
        if not origins <= own or (scope["type"] == "websocket" and not origins):
            return refusal(403, "this server answers only to its own pages")
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        if changes and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return refusal(403, "this server answers only to its own pages")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.largest:
            return refusal(413, too_large(self.largest))
        return None

    def _unlock(self, scope: Scope, headers: Headers) -> Response | None:
        """None where the token was sent; a redirect that makes it a cookie where the address has
        it; else a refusal.
        """
        if not self.address.token or self._knows(self._tokens(headers)):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in query if name == "token"]
        if scope["type"] == "http" and scope["method"] == "GET" and self._knows(given):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            path = "/" + scope["path"].lstrip("/")  # //host would be another host
            answer = RedirectResponse(path + f"?{rest}" * bool(rest), 303)
            answer.set_cookie(self.cookie, self.address.token, httponly=True, samesite="strict")
            return answer
        return refusal(401, LOCKED)

    def _tokens(self, headers: Headers) -> Iterable[str]:
        for header in headers.getlist("cookie"):
            try:
                cookies = SimpleCookie(header)
            except CookieError:
                continue
            if self.cookie in cookies:
                yield cookies[self.cookie].value
        for header in headers.getlist("authorization"):
            kind, _, token = header.partition(" ")
            if kind.lower() == "bearer":
                yield token.strip()

    def _knows(self, tokens: Iterable[str]) -> bool:
        ours = self.address.token.encode()
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), ours) for one in tokens)

    def _bounded(self, receive: Receive, gone: asyncio.Event) -> Receive:
        """What receives the body, which may be neither too large nor too slow, and learns that the
        client has left.
        """
        left, ended, until = self.largest, False, asyncio.get_running_loop().time() + PATIENCE

        async def bounded() -> Any:
            nonlocal left, ended
            try:  # where it has ended, it waits for the client to leave
                async with asyncio.timeout_at(None if ended else until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request took too long to arrive") from None
            if message["type"] == "http.disconnect":
                gone.set()
            ended = not message.get("more_body", False)
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, too_large(self.largest))
            return message

        return bounded

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({"content-security-policy": self.policy, **FIXED})
            await send(message)

        return sending


def too_large(largest: int) -> str:
    """Why a body is refused."""
    return f"a request has at most {largest:,} bytes"


def refusal(status: int, reason: str) -> Response:
    """An answer that says why there is no other, and closes the connection."""
    return JSONResponse({"error": reason}, status, {"connection": "close"})
