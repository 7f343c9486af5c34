"""The handlers of protos/demo: `Summator`, `Greeter` and `wirelane.demo.Everything`. Messages are dicts."""

from __future__ import annotations

import asyncio
import base64
import inspect
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any, Final

from wirelane.errors import RpcError
from wirelane.grpc import Cardinality, Context, Method
from wirelane.status import StatusCode

__all__ = ["handlers"]

logger = logging.getLogger("wirelane.demo")

Message = Mapping[str, Any]
Handler = Callable[..., Any]

EVERYTHING: Final = "wirelane.demo.Everything"
_MOST_COUNT: Final = 1_000_000
_LONGEST_SLEEP: Final = 3600.0

_DESCRIPTIONS: Final = {
    "Empty": "nothing in, nothing out",
    "Echo": "answers with the request",
    "ServerStream": "sends `count` numbered messages, `interval` seconds apart",
    "ClientStream": "counts what it is sent",
    "BidiEcho": "answers every message with itself and its number",
    "HeadersUnary": "answers with the metadata of the request",
    "SpecificError": "fails with the code, the reason and the details it is told",
    "RandomError": "fails with a code picked at random",
    "NoResponseUnary": "ends with OK and no message, which is an error for the caller",
    "Sleep": "answers after a while: for deadlines and cancellation",
}


async def _summate(request: Message) -> Message:
    """Answer with the sum of two numbers."""
    return {"value": request["value1"] + request["value2"]}


async def _say_hello(request: Message) -> Message:
    """Answer with a greeting."""
    return {"message": f"Hello, {request['name'] or 'world'}!"}


async def _index(request: Message) -> Message:
    """Answer with what there is."""
    return {
        "description": "one method for every way a call can go",
        "endpoints": [
            {"method": f"{EVERYTHING}/{name}", "description": text} for name, text in _DESCRIPTIONS.items()
        ],
    }


async def _echo(request: Message) -> Message:
    """Answer with the request."""
    return request


async def _server_stream(request: Message) -> AsyncIterator[Message]:
    """Send numbered messages."""
    count, interval = request["count"], request["interval"]
    if not 0 <= count <= _MOST_COUNT:
        raise RpcError(StatusCode.OUT_OF_RANGE, f"count must be from 0 to {_MOST_COUNT}, not {count}")
    for number in range(1, count + 1):
        if interval > 0 and number > 1:
            await asyncio.sleep(min(interval, _LONGEST_SLEEP))
        yield _numbered(number, request.get("message"))


async def _client_stream(requests: AsyncIterator[Message]) -> Message:
    """Count what comes."""
    count = 0
    last: Message = {}
    async for message in requests:
        count, last = count + 1, message
    return {"count": count, "last": last} if count else {"count": 0}


async def _bidi_echo(requests: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """Answer every message with itself and its number."""
    number = 0
    async for message in requests:
        number += 1
        yield _numbered(number, message)


def _numbered(number: int, message: Message | None) -> Message:
    return {"number": number} if message is None else {"number": number, "message": message}


async def _headers_unary(request: Message, context: Context) -> Message:
    """Answer with the metadata of the request; it also comes back as headers, and counted in the trailers."""
    values: dict[str, dict[str, list[str]]] = {}
    for name, value in context.metadata.items():
        text = value if isinstance(value, str) else base64.b64encode(value).decode("ascii")
        values.setdefault(name, {"values": []})["values"].append(text)
    # A peer may send text that could not be sent back.
    echoed = [
        (name, value)
        for name, value in context.metadata.items()
        if name != "user-agent" and (isinstance(value, bytes) or (value.isascii() and value.isprintable()))
    ]
    context.send_initial_metadata(echoed)
    context.trailing_metadata.add("metadata-count", str(len(echoed)))
    return {"metadata": values}


async def _specific_error(request: Message) -> Message:
    """Fail as told."""
    code = request["code"]
    if not 1 <= code <= max(StatusCode):
        raise RpcError(
            StatusCode.INVALID_ARGUMENT, f"code must be from 1 to {int(max(StatusCode))}, not {code}"
        )
    raise RpcError(code, request["reason"], details=request["details"])


async def _random_error(request: Message) -> Message:
    """Fail with any code."""
    code = random.choice([code for code in StatusCode if code is not StatusCode.OK])  # noqa: S311  (no secret)
    raise RpcError(code, "picked at random")


async def _no_response(request: bytes) -> AsyncIterator[bytes]:
    """End with OK, and without the message that the caller of a unary method waits for."""
    nothing: tuple[bytes, ...] = ()
    for message in nothing:
        yield message


async def _sleep(request: Message) -> Message:
    """Answer after a while."""
    seconds = request["seconds"]
    if not 0 <= seconds <= _LONGEST_SLEEP:
        raise RpcError(
            StatusCode.OUT_OF_RANGE, f"seconds must be from 0 to {_LONGEST_SLEEP:g}, not {seconds:g}"
        )
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return {"slept": time.monotonic() - began}


def handlers() -> dict[str | Method[Any, Any], Handler]:
    """Return every method with what answers it, as `grpc.Server.add_service` takes them."""
    # A unary handler cannot answer nothing; one that streams can, and on the wire both are the same.
    nothing = Method(f"{EVERYTHING}/NoResponseUnary", Cardinality.SERVER_STREAM, bytes, bytes)
    everything: dict[str, Handler] = {
        "Index": _index,
        "Empty": _echo,
        "Echo": _echo,
        "ServerStream": _server_stream,
        "ClientStream": _client_stream,
        "BidiEcho": _bidi_echo,
        "HeadersUnary": _headers_unary,
        "SpecificError": _specific_error,
        "RandomError": _random_error,
        "Sleep": _sleep,
    }
    found: dict[str | Method[Any, Any], Handler] = {
        "Summator/sum": _summate,
        "Greeter/SayHello": _say_hello,
        nothing: _no_response,
        **{f"{EVERYTHING}/{name}": function for name, function in everything.items()},
    }
    # Asked once, when the server is made: a call pays nothing for a log that nobody reads.
    return (
        {method: _logged(each) for method, each in found.items()}
        if logger.isEnabledFor(logging.INFO)
        else found
    )


def _logged(function: Handler) -> Handler:
    """Return the handler with a line in the log for every call."""
    takes_context = len(inspect.signature(function).parameters) > 1

    def arguments(request: Any, context: Context) -> tuple[Any, ...]:
        return (request, context) if takes_context else (request,)

    if inspect.isasyncgenfunction(function):

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            with _told(context):
                async with aclosing(function(*arguments(request, context))) as messages:
                    async for message in messages:
                        yield message

        return stream

    async def single(request: Any, context: Context) -> Any:
        with _told(context):
            return await function(*arguments(request, context))

    return single


@contextmanager
def _told(context: Context) -> Iterator[None]:
    began = time.perf_counter()
    outcome = "OK"
    try:
        yield
    except RpcError as error:
        outcome = error.code.name
        raise
    except (asyncio.CancelledError, GeneratorExit):
        outcome = "cancelled"
        raise
    except BaseException:
        outcome = "failed"
        raise
    finally:
        milliseconds = (time.perf_counter() - began) * 1000
        logger.info("gRPC %s: %s %s in %.1f ms", context.peer, context.method, outcome, milliseconds)
