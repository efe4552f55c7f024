"""What stands before the pages, with a client that leaves before its answer."""

import asyncio
from typing import Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from classicnets.web.guard import Address, Guard

from .test_handlers import run

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1:80")],
}


async def _unanswered(scope: Any, receive: Any, send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _call(app: Any, *messages: str) -> list[Any]:
    """What is sent to a client that sends these messages, and waits for ever then."""
    left, sent = [*messages], []

    async def receive() -> dict[str, str]:
        return {"type": left.pop(0)} if left else await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message["type"])

    guard = Guard(app, Address("127.0.0.1", 80, ""), "default-src 'self'", 1000)
    run(guard(SCOPE, receive, send))
    return sent


@pytest.mark.parametrize("messages", [["http.disconnect"], ["http.request", "http.disconnect"]])
def test_a_client_that_leaves_is_no_error(messages):
    async def passed_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    assert _call(BaseHTTPMiddleware(_unanswered, passed_on), *messages) == []


def test_an_error_while_the_client_waits_is_one():
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("fault")

    with pytest.raises(RuntimeError, match="fault"):
        _call(failing, "http.request")
