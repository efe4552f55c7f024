"""The server: one process that listens, says so, and ends what is in flight before it stops."""

import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .guard import Address, is_loopback

PATIENCE = 10.0  # seconds that the head of a request may take to arrive
CONNECTIONS = 512
GRACE = 30  # seconds that what is in flight may take when the server stops
LARGEST_MESSAGE = 2**21  # bytes of one message of a websocket


def listen(host: str, port: int) -> tuple[socket.socket, Address]:
    """A socket that listens there; port 0 is any free one. Beyond this machine it needs a token.

    Raises a ValueError for an address that is taken or not of this machine.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"cannot listen at {host}:{port}: {reason}; --port takes another"
        ) from None
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    return listening, Address(host, listening.getsockname()[1], token)


def run(app: Any, listening: socket.socket, ready: Callable[[], object] = lambda: None) -> None:
    """Serves an ASGI application until SIGINT or SIGTERM, or `stop`; calls `ready` once."""
    server(app, ready).run(sockets=[listening])


def server(app: Any, ready: Callable[[], object] = lambda: None) -> "Server":
    """The server of an application; setting its `should_exit` stops it."""
    config = uvicorn.Config(
        app,
        http=_Impatient,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GRACE,
        ws_max_size=LARGEST_MESSAGE,
    )
    return Server(config, ready)


class Server(uvicorn.Server):
    """uvicorn's, but a signal that stops it is not an error of the process."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]):
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        stopping = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in stopping}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


_Protocol: Any = AutoHTTPProtocol  # of httptools or of h11


class _Impatient(_Protocol):
    """Closes a connection on which the head of a request does not arrive in time."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._look, None)

    def _look(self, before: Any) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # it has ended, or become a websocket
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.cycle is before:
            self.transport.close()
        else:
            self.loop.call_later(PATIENCE, self._look, self.cycle if waits else None)
