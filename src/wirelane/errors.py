"""Everything that wirelane raises on purpose, in one tree.

```
WirelaneError
|- RpcError               what a call raises: code, message, details, metadata, from_peer, attempts, peer
|  `- DeadlineExceeded    also TimeoutError; there is no class per status code otherwise
|- ConnectError           also OSError; carries every attempt (address, cause)
|- ConnectionLost         also ConnectionError; the peer reset, or TLS ended without close_notify
|- ProxyError             a proxy was not reached, refused, or spoke no proxy protocol
|- TlsError               handshake, certificate or name; a plaintext peer
|- ResolveError           the name has no address
|- PeerError              the remote broke the protocol
|- UsageError             we were misused: wrong order, wrong cardinality, wrong value
|- ReadTimeout            also TimeoutError; carries .partial, and .idle: which of the two times was up
|- SendTimeout            also TimeoutError; carries .unsent
|- PoolTimeout            also TimeoutError; every connection of a pool was in use for too long
|- EndOfStream            also EOFError; carries .partial
|- LimitExceeded          a limit was hit before memory was taken; names it; carries .partial
|- BusyError              another task or thread is in the same operation
|- ClosedError            this object was closed here
|- SchemaError            a .proto does not compile or load: file:line:column
`- CodecError             a message does not encode or decode: path of the field
```

Every error pickles with all its fields, `str()` is one sentence for a person, and everything after the
message is keyword-only. This module imports nothing of ours but the status codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast, overload

from wirelane.status import StatusCode

if TYPE_CHECKING:
    from wirelane.core.metadata import Metadata

__all__ = [
    "BusyError",
    "ClosedError",
    "CodecError",
    "ConnectError",
    "ConnectionLost",
    "DeadlineExceeded",
    "Detail",
    "EndOfStream",
    "LimitExceeded",
    "PeerError",
    "PoolTimeout",
    "Problem",
    "ProxyError",
    "ReadTimeout",
    "ResolveError",
    "RpcError",
    "SchemaError",
    "SendTimeout",
    "TlsError",
    "UsageError",
    "WirelaneError",
    "rpc_error",
]

Detail: TypeAlias = Mapping[str, object]
"""One error detail: the fields of the message, and its type under "@type", as protobuf JSON writes an Any."""

_T = TypeVar("_T")

Problem: TypeAlias = tuple[str | None, int | None, int | None, str]
"""One further complaint about a schema: (file, line, column, text)."""


def _blank(kind: type[WirelaneError], args: tuple[object, ...]) -> WirelaneError:
    """Make an error for the unpickler, whatever its constructor takes; its state follows."""
    error = kind.__new__(kind)
    error.args = args
    return error


class WirelaneError(Exception):
    """The base of all: `except WirelaneError` catches whatever this library raises on purpose.

    Attributes:
        message: What happened, for a person.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        shown = [repr(self.message)]
        shown += [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name != "message" and not name.startswith("_") and value not in (None, (), "", b"", False)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls the class with `args` alone: keyword-only fields would be lost, or missing.
        return _blank, (type(self), self.args), dict(vars(self))


class RpcError(WirelaneError):
    """A call ended with a status that is not OK. Raised in a handler, it answers the call with that status.

    Attributes:
        code: The status code.
        message: The text that came with it; may be empty.
        details: Error details (google.rpc.Status). Those that a server sent are mappings with their type under
            "@type" (`wirelane.codec.StatusDetail`); one of a type that is not known here is
            `{"@type": ..., "value": bytes}`. An error to be raised in a handler takes messages of any library as well.
        metadata: Trailing metadata, empty if the call ended without; None on an error that no call made.
        initial_metadata: What the server sent before its first message, if it came that far.
        from_peer: The server sent this status; otherwise this end made it up from what happened.
        attempts: How many times the call was sent, retries included.
        peer: The address of the server that answered, as text.
    """

    def __init__(
        self,
        code: StatusCode | int | str,
        message: str = "",
        *,
        details: Sequence[object] = (),
        metadata: Metadata | None = None,
        initial_metadata: Metadata | None = None,
        from_peer: bool = False,
        attempts: int = 1,
        peer: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = StatusCode.of(code)
        if isinstance(details, (str, bytes, Mapping)):
            raise UsageError(
                f"details are a sequence of messages or dicts, not {details!r}; what happened is told by message="
            )
        self.details = cast("tuple[Detail, ...]", tuple(details))
        self.metadata = metadata
        self.initial_metadata = initial_metadata
        self.from_peer = from_peer
        self.attempts = attempts
        self.peer = peer

    @overload
    def detail(self, kind: type[_T]) -> _T | None: ...
    @overload
    def detail(self, kind: str) -> Detail | None: ...
    def detail(self, kind: type[_T] | str) -> _T | Detail | None:
        """Return the first detail of a type, or None if there is none.

        Args:
            kind: A message class of any library (`google.rpc.error_details_pb2.ErrorInfo`), which the detail then is;
                or a full name ("google.rpc.ErrorInfo"), for the mapping.

        Raises:
            CodecError: The detail is of this type and does not parse.
            UsageError: `kind` is no message class.
        """
        for each in self.details:
            if isinstance(kind, str):
                if isinstance(each, Mapping) and str(each.get("@type")).rpartition("/")[2] == kind:
                    return each
            elif isinstance(each, kind):
                return each
            elif (unpack := getattr(each, "unpack", None)) is not None:
                found: _T | None = unpack(kind)
                if found is not None:
                    return found
        return None

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name

    def __repr__(self) -> str:
        shown = [self.code.name, repr(self.message)]
        shown += [f"{name}={value!r}" for name, value in self._state() if value]
        return f"{type(self).__name__}({', '.join(shown)})"

    def _state(self) -> list[tuple[str, object]]:
        return [
            ("details", self.details),
            ("metadata", self.metadata),
            ("from_peer", self.from_peer),
            ("attempts", self.attempts if self.attempts != 1 else None),
            ("peer", self.peer),
        ]


class DeadlineExceeded(RpcError, TimeoutError):
    """The call did not end in time: DEADLINE_EXCEEDED. `except TimeoutError` catches it too."""

    def __init__(
        self,
        message: str = "",
        *,
        details: Sequence[object] = (),
        metadata: Metadata | None = None,
        initial_metadata: Metadata | None = None,
        from_peer: bool = False,
        attempts: int = 1,
        peer: str | None = None,
    ) -> None:
        super().__init__(
            StatusCode.DEADLINE_EXCEEDED,
            message,
            details=details,
            metadata=metadata,
            initial_metadata=initial_metadata,
            from_peer=from_peer,
            attempts=attempts,
            peer=peer,
        )


def rpc_error(
    code: StatusCode | int | str,
    message: str = "",
    *,
    details: Sequence[object] = (),
    metadata: Metadata | None = None,
    initial_metadata: Metadata | None = None,
    from_peer: bool = False,
    attempts: int = 1,
    peer: str | None = None,
) -> RpcError:
    """Make the error for a status: `DeadlineExceeded` for that code, `RpcError` for every other."""
    code = StatusCode.of(code)
    if code is StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(
            message,
            details=details,
            metadata=metadata,
            initial_metadata=initial_metadata,
            from_peer=from_peer,
            attempts=attempts,
            peer=peer,
        )
    return RpcError(
        code,
        message,
        details=details,
        metadata=metadata,
        initial_metadata=initial_metadata,
        from_peer=from_peer,
        attempts=attempts,
        peer=peer,
    )


class ConnectError(WirelaneError, OSError):
    """No connection came about.

    Attributes:
        address: What was asked for, as text.
        attempts: Every address that was tried, with what it said. If all failed with the same `errno`, the
            error has that `errno` as well.
    """

    def __init__(
        self,
        message: str,
        *,
        address: str | None = None,
        attempts: Sequence[tuple[str, BaseException]] = (),
    ) -> None:
        super().__init__(message)
        self.address = address
        self.attempts: tuple[tuple[str, BaseException], ...] = tuple(attempts)
        numbers = {getattr(cause, "errno", None) for _, cause in self.attempts}
        if len(numbers) == 1:
            self.errno = numbers.pop()

    def __reduce__(self) -> tuple[object, ...]:
        # `errno` lives in the C structure of OSError, not in the instance's dictionary.
        return _blank, (type(self), self.args), {**vars(self), "errno": self.errno}


class ConnectionLost(WirelaneError, ConnectionError):
    """The connection broke: the peer reset it, or TLS ended without close_notify (maybe an attack).

    Attributes:
        partial: Bytes that had arrived and were not yet given to anybody.
    """

    def __init__(self, message: str, *, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


class _StepError(WirelaneError):
    """What failed on the way to a connection: which host, which step, what to try."""

    def __init__(
        self, message: str, *, host: str | None = None, step: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.host = host
        self.step = step
        self.hint = hint

    def __str__(self) -> str:
        text = self.message
        if self.host and self.host not in text:
            text = f"{self.host}: {text}"
        if self.hint and self.hint not in text:
            text = f"{text}; {self.hint}"
        return text


class ProxyError(_StepError):
    """A proxy could not be reached, refused, or does not speak its protocol. Never carries a user or a password.

    Attributes:
        host: The proxy, as host:port.
        step: What was being done: "connect", "TLS handshake", "greeting", "authentication", "CONNECT" or "resolve".
        hint: What to try.
        kind: Of the proxy: "socks4", "socks4a", "socks5", "socks5h", "http" or "https".
        code: What it answered: the status of HTTP, or the reply code of SOCKS; None if it gave none.
    """

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        step: str | None = None,
        hint: str | None = None,
        kind: str | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(message, host=host, step=step, hint=hint)
        self.kind = kind
        self.code = code


class TlsError(_StepError):
    """The TLS handshake failed, or the peer does not speak TLS.

    Attributes:
        host: The name that was asked for.
        step: What was being done ("handshake", "ALPN", "load certificate", ...).
        hint: What to try.
    """


class ResolveError(_StepError):
    """A host name has no address, or could not be asked for.

    Attributes:
        host: The name.
        step: What was being done.
        hint: What to try.
    """


class PeerError(WirelaneError):
    """The remote broke the protocol; the fault is not on this side."""


class UsageError(WirelaneError):
    """We were misused: a wrong order of calls, a wrong cardinality, a value that cannot be."""


class BusyError(WirelaneError):
    """Another task, or thread, is inside the same operation of the same object."""


class ClosedError(WirelaneError):
    """The object was closed on this side and takes no more work."""


class ReadTimeout(WirelaneError, TimeoutError):
    """A read did not get what it asked for in time. Nothing is lost: the next read sees the same bytes.

    Attributes:
        partial: The bytes that had arrived; they stay in the buffer.
        idle: The peer was silent for `idle_timeout`; otherwise `timeout`, the time for the whole read, was up.
    """

    def __init__(self, message: str, *, partial: bytes = b"", idle: bool = False) -> None:
        super().__init__(message)
        self.partial = partial
        self.idle = idle


class SendTimeout(WirelaneError, TimeoutError):
    """A send was not taken by the network in time.

    If part of it may have left, the connection takes no more sends: the peer could not tell where the next starts.

    Attributes:
        unsent: How many bytes of this send had not left this process.
    """

    def __init__(self, message: str, *, unsent: int = 0) -> None:
        super().__init__(message)
        self.unsent = unsent


class PoolTimeout(WirelaneError, TimeoutError):
    """A pool had no connection to give in time. Connections that cannot be made are another matter: ConnectError.

    Attributes:
        size: The most connections that the pool may have.
        in_use: How many were in use.
        waiting: How many others waited.
    """

    def __init__(self, message: str, *, size: int = 0, in_use: int = 0, waiting: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.in_use = in_use
        self.waiting = waiting


class EndOfStream(WirelaneError, EOFError):
    """The peer ended its stream before the read had what it asked for.

    Attributes:
        partial: The bytes that had arrived; they stay in the buffer.
    """

    def __init__(self, message: str, *, partial: bytes = b"") -> None:
        super().__init__(message)
        self.partial = partial


class LimitExceeded(WirelaneError):
    """Something was larger than a limit allows; it was refused before memory was taken for it.

    Attributes:
        limit: The name of the field of `Limits`, or of the argument.
        maximum: What it allows, in the unit of that field.
        seen: What came, as far as it is known.
        partial: The bytes that had arrived, where a read was bounded.
    """

    def __init__(
        self,
        message: str,
        *,
        limit: str | None = None,
        maximum: float | None = None,
        seen: float | None = None,
        partial: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.maximum = maximum
        self.seen = seen
        self.partial = partial


class SchemaError(WirelaneError):
    """A schema does not compile, load or link. `str()` starts with file:line:column where they are known.

    Attributes:
        file: The name of the .proto file, as it is imported.
        line: From 1.
        column: From 1.
        problems: What else is wrong: (file, line, column, text) each.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.column = column
        self.problems: tuple[Problem, ...] = tuple(problems)

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        text = f"{place}: {self.message}" if place and not self.message.startswith(place) else self.message
        more = len(self.problems)
        return f"{text} (and {more} more problem{'s' if more > 1 else ''})" if more else text


class CodecError(WirelaneError):
    """A message does not encode or decode.

    Attributes:
        path: The field, as in "items[3].price"; empty for the message as a whole.
        incomplete: A required field is missing, at `path`: to protobuf, what was read is no message of this type.
    """

    def __init__(self, message: str, *, path: str = "", incomplete: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.incomplete = incomplete

    def __str__(self) -> str:
        if not self.path or self.message.startswith(self.path):
            return self.message
        return f"{self.path}: {self.message}"
