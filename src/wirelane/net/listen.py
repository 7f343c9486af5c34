"""Accepting: listening sockets, their accept loop, TLS handshakes, and a count of what is open.

The accept loop is our own, on `add_reader`, so that it behaves alike on every event loop: it takes no more than an
`Admission` allows, and running out of file descriptors pauses it instead of ending it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self
from weakref import WeakSet

from wirelane.core.sampling import Sampler
from wirelane.core.target import Address, HostPort
from wirelane.errors import TlsError, UsageError
from wirelane.net.admission import Admission, Refusal
from wirelane.net.bind import Bound, bind
from wirelane.net.options import SocketOptions
from wirelane.net.tls import TlsConfig, offered_alpn, server_context
from wirelane.net.tlslayer import TlsTransport, address_text

__all__ = ["Listening", "listen"]

logger = logging.getLogger("wirelane.net")

_ACCEPTS_PER_TURN = 64
"""Connections accepted before others in the loop have their turn."""

_TURNS_TO_EMPTY = 64
"""Rounds of these in which a listener that closes takes whom it finds waiting: four times its usual queue."""

_RETRY_ACCEPT = 0.25
"""Seconds of pause when descriptors or memory ran out; the kernel keeps the clients in its queue meanwhile."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


async def listen(
    factory: Callable[[], asyncio.Protocol],
    address: Address,
    *,
    tls: TlsConfig | ssl.SSLContext | None = None,
    alpn: Sequence[str] = (),
    alpn_required: bool = False,
    backlog: int = 1024,
    handshake_timeout: float = 10.0,
    admission: Admission | None = None,
    reuse_port: bool = False,
    user_timeout: float | None = None,
) -> Listening:
    """Listen at an address, and give each connection a protocol of `factory`.

    Args:
        factory: Called for each connection; with TLS, when its handshake is done.
        address: A name with several addresses is listened at on all of them, on the same port; an empty host
            means every interface, both families. Port 0 lets the system choose. A socket file that nobody
            listens at any more is replaced; ours is removed on close.
        tls: Certificates; with TlsConfig files, changed files are taken for new connections.
        alpn: The protocols to agree to, first choice first.
        alpn_required: Close the connection of a client that offers none of them; otherwise ask the transport for its
            "alpn".
        backlog: Connections that wait in the kernel to be accepted.
        handshake_timeout: Seconds for a client's TLS handshake.
        admission: How many connections may be open at once, handshakes included; more are closed at once and counted
            in `refusals`. Listeners may share one. None: no limit.
        reuse_port: Let other processes listen at the same port (SO_REUSEPORT); the kernel spreads the clients.
        user_timeout: Seconds that what was sent on TCP may stay unacknowledged; None: what the system allows.

    Raises:
        ConnectError: The address cannot be listened at: in use, not of this machine, not allowed.
        ResolveError: The name has no address.
        UsageError: The TLS settings cannot work.

    Cancel-safe: a cancelled listen leaves no socket.
    """
    if tls is not None:
        server_context(tls, alpn)  # wrong settings must fail here, not with the first client
    bound = await bind(address, backlog=backlog, reuse_port=reuse_port)
    return Listening(
        factory,
        bound,
        tls=tls,
        alpn=tuple(alpn),
        alpn_required=alpn_required,
        handshake_timeout=handshake_timeout,
        admission=Admission() if admission is None else admission,
        user_timeout=user_timeout,
    )


class Listening:
    """A listener at work; made by `listen`. `async with` closes it at the end.

    Attributes:
        addresses: Where it listens, with the real port.
        accepted: Connections accepted so far, those that were refused not included.
        refusals: Connections that were closed at once, by the limit that they would have exceeded.
        failed_handshakes: Clients that did not get through the TLS handshake.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        bound: Sequence[Bound],
        *,
        tls: TlsConfig | ssl.SSLContext | None,
        alpn: tuple[str, ...],
        alpn_required: bool,
        handshake_timeout: float,
        admission: Admission,
        user_timeout: float | None,
    ) -> None:
        self.addresses: tuple[Address, ...] = tuple(one.address for one in bound)
        self.accepted = 0
        self.refusals: Counter[Refusal] = Counter()
        self.failed_handshakes = 0
        self._factory = factory
        self._bound = list(bound)
        self._tls = tls
        self._alpn = alpn
        self._needed_alpn = () if tls is None or not alpn_required else offered_alpn(tls, alpn)
        self._options = SocketOptions(user_timeout=user_timeout)
        self._context = None if tls is None else server_context(tls, alpn)
        self._handshake_timeout = handshake_timeout
        self._admission = admission
        self._loop = asyncio.get_running_loop()
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._shaking: set[TlsTransport] = set()
        # Those that failed, and wait for the client to read why.
        self._failing: WeakSet[TlsTransport] = WeakSet()
        self._retries: dict[Bound, asyncio.TimerHandle] = {}
        # One client that gets no further is as good as another.
        self._log_sampler = Sampler(1)
        self._closed = False
        self._cut = False
        self._idle = asyncio.Event()
        for one in self._bound:
            self._loop.add_reader(one.sock, self._accept, one)

    @property
    def address(self) -> Address:
        """The first of the addresses."""
        return self.addresses[0]

    @property
    def port(self) -> int:
        """The TCP port; 0 for a Unix socket."""
        return self.address.port if isinstance(self.address, HostPort) else 0

    @property
    def connections(self) -> int:
        """Accepted sockets that are open now."""
        return self._open

    @property
    def rejected(self) -> int:
        """How many connections were refused so far, for whatever limit."""
        return self.refusals.total()

    @property
    def handshakes(self) -> int:
        """TLS handshakes that are under way now."""
        return len(self._shaking)

    @property
    def tls(self) -> bool:
        """Whether clients must speak TLS."""
        return self._tls is not None

    def close(self, *, finish: bool = False) -> None:
        """Stop accepting. Connections go on. Idempotent.

        Args:
            finish: Take the clients that have connected and wait in the kernel's queue, and let handshakes come to
                their end, for as long as nobody calls this without it: closing the socket would reset the ones, and
                the others are cut.
        """
        if not self._closed:
            self._closed = True
            for one in self._bound:
                self._loop.remove_reader(one.sock)
                if finish:
                    self._empty_queue(one)
                one.close()
            for timer in self._retries.values():
                timer.cancel()
        if not finish:
            self._cut = True
            for layer in (*self._shaking, *self._failing):
                layer.abort()
            self._shaking.clear()
        self._check_idle()

    def _empty_queue(self, one: Bound) -> None:
        """Accept what waits, at most so much: clients may come faster than they are taken."""
        for _ in range(_TURNS_TO_EMPTY):
            if not self._accept(one):
                return

    async def wait_closed(self) -> None:
        """Wait until `close` was called and no handshake is under way. Connections are not waited for. Cancel-safe."""
        await self._idle.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        state = "closed" if self._closed else ", ".join(map(str, self.addresses))
        tls = " TLS" if self.tls else ""
        return f"<Listening {state}{tls} {self._open} connection{'' if self._open == 1 else 's'}>"

    # ------------------------------------------------------------------ accepting

    def _accept(self, one: Bound) -> bool:
        """Take those who wait; whether there may be more."""
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                accepted, name = one.sock.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._pause_accepting(one, exc)
                    return False
                # The client went away while it waited (ECONNABORTED, or a pending network error, accept(2)).
                continue
            peer = self._admission.peer(accepted.family, name)
            refusal = self._admission.enter(peer)
            if refusal is not None:
                accepted.close()
                self._refused(refusal, name)
                continue
            self.accepted += 1
            self._open += 1
            sock = _CountedSocket(accepted, partial(self._socket_closed, peer))
            task = self._loop.create_task(self._open_connection(sock))
            self._opening.add(task)
            task.add_done_callback(self._opened)
        return True

    def _refused(self, refusal: Refusal, name: object) -> None:
        self.refusals[refusal] += 1
        most = getattr(self._admission, refusal)
        if refusal == "max_connections":
            self._say(refusal, "%r is full (max_connections=%d)", self, most)
        else:
            text = "%s is refused at %s: there are enough of its address (max_connections_per_peer=%d)"
            self._say(refusal, text, address_text(name), self.address, most)

    def _pause_accepting(self, one: Bound, exc: OSError) -> None:
        self._loop.remove_reader(one.sock)
        self._retries[one] = self._loop.call_later(_RETRY_ACCEPT, self._resume_accepting, one)
        if self._log_sampler.admit("pause") is not None:  # it may go on for hours
            logger.warning("accepting at %s pauses for %g s: %s", one.address, _RETRY_ACCEPT, exc.strerror)

    def _resume_accepting(self, one: Bound) -> None:
        del self._retries[one]
        self._loop.add_reader(one.sock, self._accept, one)

    async def _open_connection(self, sock: _CountedSocket) -> None:
        if self._cut:
            sock.close()
            return
        try:
            sock.setblocking(False)
            self._options.apply(sock)
            protocol = self._factory() if self._context is None else self._tls_layer().below
        except OSError as exc:  # the client is gone already
            sock.close()
            logger.debug("a client of %s went away at once: %s", self.address, exc)
            return
        except BaseException:
            sock.close()
            raise
        await self._loop.connect_accepted_socket(lambda: protocol, sock)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            logger.error("a connection to %s could not be opened", self.address, exc_info=exc)
        self._check_idle()

    def _socket_closed(self, peer: object) -> None:
        self._open -= 1
        self._admission.leave(peer)

    def _check_idle(self) -> None:
        if self._closed and not self._opening and not self._shaking:
            self._idle.set()

    # ------------------------------------------------------------------ TLS

    def _tls_layer(self) -> TlsTransport:
        shaken: list[TlsTransport] = []

        def on_ready(layer: TlsTransport) -> None:
            self._shaken(layer)
            self._check_alpn(layer)
            layer.attach(self._factory())

        def on_failure(exc: Exception) -> None:
            self._failing.add(shaken[0])
            self._shaken(shaken[0])
            self._failed(shaken[0], exc)

        layer = TlsTransport(
            self._fresh_context(),
            on_ready=on_ready,
            on_failure=on_failure,
            server_side=True,
            handshake_timeout=self._handshake_timeout,
        )
        shaken.append(layer)
        self._shaking.add(layer)
        return layer

    def _check_alpn(self, layer: TlsTransport) -> None:
        needed = self._needed_alpn
        if needed and layer.get_extra_info("alpn") not in needed:
            peer = address_text(layer.get_extra_info("peername"))
            raise TlsError(f"{peer} did not offer {' or '.join(needed)} (ALPN)", host=peer, step="ALPN")

    def _shaken(self, layer: TlsTransport) -> None:
        self._shaking.discard(layer)
        self._check_idle()

    def _fresh_context(self) -> ssl.SSLContext:
        """Return the context of the certificates as they are now; while they are broken, the last good one."""
        assert self._tls is not None
        assert self._context is not None
        try:
            self._context = server_context(self._tls, self._alpn)
        except UsageError as exc:
            self._say("certificates", "new certificates cannot be used, the old ones stay: %s", exc)
        return self._context

    def _failed(self, layer: TlsTransport, exc: Exception) -> None:
        self.failed_handshakes += 1
        if layer.plaintext_peer is not None:
            self._say("plaintext", "closed a connection to %s: %s", self.address, exc)
        elif isinstance(exc, TlsError):
            self._say("handshake", "closed a connection to %s: %s", self.address, exc)
        else:
            logger.error("a connection to %s could not be opened", self.address, exc_info=exc)

    def _say(self, kind: str, text: str, *args: object) -> None:
        """Log one of a kind in five seconds at INFO and the rest at DEBUG: clients must not be able to fill the log."""
        level, text = self._log_sampler.line(kind, text)
        logger.log(level, text, *args)


class _CountedSocket(socket.socket):
    """An accepted socket that tells when it is closed: transports own it, and tell nobody but their protocol."""

    __slots__ = ("_on_close",)

    def __init__(self, accepted: socket.socket, on_close: Callable[[], None]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        super().close()
        self._count()

    def detach(self) -> int:
        """Count: this is how uvloop ends a socket, it closes the descriptor itself."""
        descriptor = super().detach()
        self._count()
        return descriptor

    def _count(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
