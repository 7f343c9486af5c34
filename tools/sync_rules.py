"""What `make_sync.py` makes, and the rules by which it does: tables to read and to change; nothing is done here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "src" / "wirelane" / "sync"


@dataclass(frozen=True)
class Module:
    """One module to write.

    Attributes:
        path: Below the package, as in "grpc/channel".
        title: The first line of its docstring.
        classes: The classes in it that get a shell.
        functions: The functions in it.
        made: Those of the classes that the user makes.
        to: Where it is written, if it is not the same path.
        bases: The base class written by hand of a class, as "module:Class"; its names are left out.
    """

    path: str
    title: str
    classes: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    to: str = ""
    bases: dict[str, str] = field(default_factory=dict)

    @property
    def product(self) -> str:
        """ "grpc" or "tcp": rules are for one of them."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """The async module."""
        return "wirelane." + self.path.replace("/", ".")

    @property
    def sync_name(self) -> str:
        """The module to write."""
        return "wirelane.sync." + (self.to or self.path).replace("/", ".")

    @property
    def file(self) -> Path:
        """The file to write."""
        return OUTPUT.joinpath(*(self.to or self.path).split("/")).with_suffix(".py")


MODULES = (
    Module(
        "grpc/channel",
        "Channels: calls to one server, from any thread.",
        ("Channel",),
        made=("Channel",),
        bases={"Channel": "_channel:ChannelFacade"},
    ),
    Module(
        "grpc/streams",
        "Calls in which one side or both send many messages.",
        ("ServerStreamCall", "ClientStreamCall", "BidiStreamCall"),
        bases={
            "ServerStreamCall": "_streams:Receives[Res]",
            "ClientStreamCall": "_streams:SendsForOne[Req, Res]",
            "BidiStreamCall": "_streams:SendsAndReceives[Req, Res]",
        },
    ),
    Module(
        "grpc/unary",
        "Calls with one request and one reply, as objects.",
        ("UnaryCall",),
        to="_unary_call",  # not below grpc, whose channel makes it in what is written by hand
        bases={"UnaryCall": "_unary:UnaryFacade[Res]"},
    ),
    Module(
        "grpc/shortcuts", "Connecting, and calls without a channel.", functions=("connect", "call", "reflect")
    ),
    Module(
        "grpc/server/server",
        "A server whose handlers block, in threads.",
        ("Server",),
        made=("Server",),
        to="grpc/server",
        bases={"Server": "_serving:ServerFacade"},
    ),
    Module(
        "grpc/server/lifecycle",
        "A server that listens.",
        ("Listening",),
        to="grpc/listening",
        bases={"Listening": "_serving:ListeningFacade"},
    ),
    Module(
        "grpc/server/context", "What a handler sees of the call it answers.", ("Context",), to="grpc/context"
    ),
    Module(
        "grpc/services/health",
        "What the health service answers from.",
        ("Health",),
        to="grpc/health",
        bases={"Health": "_serving:HealthFacade"},
    ),
    Module("tcp/connecting", "Opening connections.", functions=("connect",)),
    Module("tcp/request", "One exchange on a connection of its own.", functions=("request",)),
    Module(
        "tcp/connection",
        "A connection: reads that say when they end, and writes.",
        ("Connection",),
        bases={"Connection": "_connection:ConnectionFacade"},
    ),
    Module(
        "tcp/iterating",
        "What `for` goes over: lines, records, frames and chunks of a connection.",
        ("Lines", "Records", "Frames", "Chunks"),
        bases={"Lines": "_lines:LinesFacade"},
    ),
    Module(
        "tcp/server",
        "A TCP server: one function that blocks, called with a `Connection` for each client.",
        ("Server",),
        made=("Server",),
        bases={"Server": "_serving:ServerFacade"},
    ),
    Module(
        "tcp/listening",
        "A server that listens.",
        ("Listening",),
        bases={"Listening": "_serving:ListeningFacade"},
    ),
    Module("tcp/pool", "A pool of connections, from any thread.", ("Pool", "Pooled"), made=("Pool",)),
)

# What stands in the place of an annotation; {0}, {1} are its parameters.
RESULTS = {
    "UnaryCall": "{0}",
    "ClientStreamReply": "{1}",
    "grpc.Connecting": "Channel",
    "tcp.Connecting": "Connection",
    "tcp.Handler": "Callable[[Connection], object]",
    "tcp.Prepare": "Callable[[Connection], object]",
    "tcp.Check": "Callable[[Connection], bool | None]",
    "Messages": "Iterable[{0}]",
    "Awaitable": "{0}",
}

# Arguments that are not handed on as they are.
ARGUMENTS = {
    "tcp.Pool.__init__": {"prepare": "in_thread(prepare)", "check": "in_thread(check)"},
    "tcp.Server.__init__": {"handler": "in_thread(handler, Threads(threads))"},
    "grpc.Channel.collect": {"request": "feed(request)"},
    "grpc.Channel.call": {"request": "feed(request)"},
    "grpc.Channel.exchange": {"script": "tuple(script)"},
    "grpc.call": {"request": "feed(request)"},
}

# Bodies that no rule gives.
BODIES = {
    "grpc.Channel.unary": (
        "return self._unary(method, request, timeout, metadata, compression, wait_for_ready)"
    ),
    # Made here, not in the loop: their time runs from now on.
    "grpc.Channel.server_stream": """
return self._made(ServerStreamCall[Any], self._inner.server_stream, method, request, timeout=timeout, metadata=metadata, compression=compression, wait_for_ready=wait_for_ready)
""",
    "grpc.Channel.bidi_stream": """
return self._made(BidiStreamCall[Any, Any], self._inner.bidi_stream, method, feed(messages), timeout=timeout, metadata=metadata, compression=compression, wait_for_ready=wait_for_ready)
""",
    "grpc.Channel.client_stream": """
stream = self._made(ClientStreamCall[Any, Any], self._inner.client_stream, method, timeout=timeout, metadata=metadata, compression=compression, wait_for_ready=wait_for_ready)
return stream if messages is None else send_all(stream, messages)
""",
    "grpc.Server.listen": "return self._listen(*addresses, grace=grace, reuse_port=reuse_port)",
    "grpc.Server.serve": "self._serve(*addresses, grace=grace, reuse_port=reuse_port)",
    "grpc.Server.drain": "self._drain(grace)",
    "grpc.Server.abort": "self._abort()",
    "grpc.Listening.drain": "self._drain(grace)",
    "grpc.Context.abort": "AsyncContext.abort(self._inner, code, message, details)",
    "tcp.Server.listen": "return self._listen(*addresses, grace=grace)",
    "tcp.Server.serve": "self._serve(*addresses, grace=self.limits.drain_grace if grace is None else grace)",
    "tcp.Server.drain": "self._drain(grace)",
    "tcp.Server.abort": "self._abort()",
    "grpc.Channel.service": "return self._service(name)",
    # Made here, so that it can be made anew after a fork.
    "grpc.connect": """
channel = Channel({arguments})
try:
    channel._connect()
    return channel
except BaseException:
    channel.close()
    raise
""",
}

# What a constructor makes in place of the class of the same name, what it gives it, and what it takes beyond the async one's parameters.
INNER = {"grpc.Server": "BlockingServer"}
GIVEN = {"grpc.Server": "context=Context"}
EXTRA = {"grpc.Server": "threads: int=THREADS", "tcp.Server": "threads: int=THREADS"}

# Properties that do more than to look.
# What is buffered, and what TLS knows, the loop may be changing: OpenSSL's objects are one thread's at a time.
IN_LOOP = {
    f"tcp.Connection.{name}": f'look(self._inner, "{name}")'
    for name in ("alpn", "buffered", "cipher", "peer_certificate")
}

# Properties that take more than they give, which pyright would have otherwise.
WIDER = {"grpc.Channel.metadata"}

# What has no place here: other libraries' stubs await what they get.
LEFT_OUT = {
    "grpc.Channel.request",
    # For event loops.
    "grpc.UnaryCall.close",
    "grpc.UnaryCall.send",
    "grpc.UnaryCall.throw",
}

# Tests that are run both ways, and how they are said without await. What is marked `there` stays.
TESTS = (ROOT / "tests" / "twins", ROOT / "tests" / "twins_sync")
TEST_WORDS = (
    (r"asyncio\.to_thread\(([^,()]+)(, |(?=\)))", r"\1("),
    (r"import asyncio\n", ""),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\banext\(", "next("),
    (r"from wirelane import", "from wirelane.sync import"),
    (r"support\.twins_support import", "support.twins_sync_support import"),
    (r"from twins\b", "from twins_sync"),
    (r"\bkit\.(stub|base)\b", r"kit.sync_\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsyncExitStack\b", "ExitStack"),
    (r"\benter_async_context\b", "enter_context"),
    (r"\baiter\(", "iter("),
    (r"\bAwaitable\[([\w.]+)\]", r"\1"),
    (
        r": written once, run with asyncio and without\.",
        r".\n\nMade of `tests/twins` by tools/make_sync.py; do not edit.\n",
    ),
)

# How docstrings are said here, in this order.
WORDS: tuple[tuple[str, str], ...] = (
    (r"A unary call: `reply = await call`\.", "A unary call that was begun: `reply = call.reply()`."),
    (
        r"It is sent when it is first awaited, (?s:.*)same reply or error\.",
        "It is made whether or not anybody waits for it, and ends with its reply, its deadline or its channel.\nAny thread may wait for it or cancel it.",
    ),
    (r", sending the call if it has not been\.\n\nCancelled before [^.]*\.", "."),
    (r"whoever awaits it gets", "whoever waits for it gets"),
    (
        r"A channel belongs to one event loop, and is closed",
        "Any number of threads may share a channel. It is closed",
    ),
    (r"Raises \(when awaited or entered\):", "Raises:"),
    (r"(server reflection failed|Server reflection failed)\.\n\nRaises:\n", r"\1.\n"),
    (
        r"The call; awaiting it sends it and gives the reply, or raises RpcError",
        "The reply; or it raises RpcError",
    ),
    (
        r"When awaited or entered\. Nothing is left open then, nor when cancelled\.",
        "Nothing is left open then, nor when interrupted.",
    ),
    (r"or the task is cancelled", "or Ctrl-C interrupts it"),
    (r"; cancelled, it is cut\b", "; interrupted, it is cut"),
    (r"Several tasks may send", "Several threads may send"),
    (r"when the task is cancelled in the middle", "when Ctrl-C interrupts it in the middle"),
    (
        r"Connections to one address, for one event loop\.",
        "Connections to one address, for any number of threads.",
    ),
    (
        r"Cancellation: a cancelled read loses nothing\. A cancelled `send` sent",
        "Ctrl-C: an interrupted read loses nothing. An interrupted `send` sent",
    ),
    (r"A cancelled `close` or `start_tls` cuts", "An interrupted `close` or `start_tls` cuts"),
    (
        r"Cancellation: whoever waits for a connection and is cancelled leaves no trace; one that is cancelled while",
        "Ctrl-C: whoever waits for a connection and is interrupted leaves no trace; one that is interrupted while",
    ),
    (r"`async def (prepare|check)\(connection\)`, called", r"`def \1(connection)`, called in a thread"),
    (r"\n +UsageError: Used in another event loop than [^\n]*", ""),
    (r"\n\nRaises:\n +UsageError: Closed in another event loop than [^\n]*", ""),
    (r"Cancelled: everything is cut", "Interrupted: everything is cut"),
    (
        r"It is `async def`, and for a method that streams\s+replies an async generator, or [^.]*\.",
        "It runs in a thread of the\nserver's. For a method that streams replies it is a generator, or returns an iterable.",
    ),
    (
        r"Where the client streams, the\s+request is an async iterator\.",
        "Where the client\nstreams, the request is an iterator.",
    ),
    (
        r"    trace: Log what is said on all connections",
        "    threads: How many handlers run at once; what comes beyond that waits.\n    trace: Log what is said on all connections",
    ),
    (
        r"Serve until cancelled, or until SIGTERM or SIGINT",
        "Serve until `drain` or `abort` is called, or until SIGTERM or SIGINT",
    ),
    (r"A second signal, or a second cancellation, stops at once", "A second signal stops at once"),
    (r"\n +asyncio\.CancelledError: It was cancelled; it has drained\.", ""),
    (r"\s*Cancelled:\s+(everything is aborted|all is cut)[^.]*\.", " Interrupted, everything is aborted."),
    (
        r"UsageError: A handler awaits it, and would be waited for; start it in a task of its own there\.",
        "UsageError: A handler calls it, and would be waited for; let another thread call it there.",
    ),
    (r"as listening`, or `await` it and `drain` later", "as listening`, or `drain` it later"),
    (r"Several tasks may drain", "Several threads may drain"),
    (r"; `await` is accepted because other servers need it there\.", "."),
    (r"Use it from the event loop of the server\.", "Any thread may use it."),
    (
        r"`async def handler\(connection\)`, called for each connection, in a task that the server owns",
        "`def handler(connection)`, called for each connection, in a thread of the server's",
    ),
    (r"all or none; cancelled: none\.", "all or none."),
    (
        r", which drains at the end of the block, or await it\.",
        ", which drains at the end of the block, or `drain` it later.",
    ),
    (r", asynchronous or not(,|:)", r"\1"),
    (r" \(asynchronous or not\)", ""),
    (r" Cancel-safe\.", ""),
    (r"Cancel-safe: what was begun", "Interrupted: what was begun"),
    (r"Cancelled, it cancels", "Interrupted (Ctrl-C), it cancels"),
    (r"Cancelled, it leaves", "Interrupted (Ctrl-C), it leaves"),
    (r"\basync (with|for)\b", r"\1"),
    (r"\bawait ", ""),
)

# What no docstring here may speak of.
FOREIGN = re.compile(
    r"\b(await\w*|async|asyncio|asynchronous\w*|coroutines?|tasks?|event loop|cancel-safe)\b|(?-i:Cancelled[,:]|; cancelled:)",
    re.IGNORECASE,
)
