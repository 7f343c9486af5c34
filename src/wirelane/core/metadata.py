"""gRPC metadata: an ordered multimap of names to text or bytes, and its form on the wire.

Names are lower case and made of `0-9 a-z _ . -`; a name that ends in `-bin` holds bytes, every other one
printable ASCII text (gRPC over HTTP/2, "Custom-Metadata"). What a `Metadata` was given is checked when it is
given, so a `Metadata` made here can always be sent; one that came from a peer is a record of what the peer
said, and is checked when it is sent on.

The names of the protocol itself never get in from a peer and never get out from a user. Four `grpc-` names
are an exception, because their interface is metadata by design (gRFC A6; the census headers).

A `Metadata` is not safe to change from several threads at once. This is the hot path of a call: most metadata
is empty or repeats the same few names and pairs, so what was checked is remembered (a bounded number of each).
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar, overload

from wirelane.core.fields import NO_FIELDS, Fields
from wirelane.errors import PeerError, UsageError

__all__ = ["Headers", "Metadata", "MetadataLike", "Value", "from_headers", "to_headers", "wire_fields"]

Value: TypeAlias = str | bytes
Headers: TypeAlias = list[tuple[bytes, bytes]]
_K = TypeVar("_K")
_T = TypeVar("_T")

_NAME = re.compile(r"[0-9a-z_.-]+")
# Names and pairs that are remembered, and how long they may be; what is full begins anew, whatever filled it.
_NAMES: Final = 1024
_LONGEST_NAME: Final = 64
_PAIRS: Final = 256
_LONGEST_PAIR: Final = 1024  # more than most bearer tokens
_FIELD_OVERHEAD: Final = 32  # RFC 9113, section 6.5.2: how SETTINGS_MAX_HEADER_LIST_SIZE counts a field

_INTERFACE_IS_METADATA = frozenset(
    {"grpc-previous-rpc-attempts", "grpc-retry-pushback-ms", "grpc-trace-bin", "grpc-tags-bin"}
)
# Connection-specific fields must not appear in HTTP/2 at all (RFC 9113, section 8.2.2).
_CONNECTION_SPECIFIC = frozenset(
    {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"}
)
_PROTOCOL = _CONNECTION_SPECIFIC | {"content-type", "te"}
_SECRET = ("auth", "cookie", "token", "secret", "password", "api-key", "apikey")

_checked_names: dict[str, str] = {}
_sendable_names: dict[str, bytes] = {}
_sendable_pairs: dict[tuple[str, Value], tuple[bytes, bytes]] = {}
_received_names: dict[bytes, str] = {}


def _remember(known: dict[_K, _T], key: _K, value: _T, most: int = _NAMES) -> None:
    if len(known) >= most:
        known.clear()
    known[key] = value


class Metadata:
    """An ordered multimap of metadata names to values.

    `md[name]` is the first value of a name, `md[name] = value` replaces all of them, `add` appends one.
    `len(md)` and `items()` count every pair; iteration and `keys()` give each name once, in order. Names are
    found whatever their case.

    Args:
        entries: A mapping of names to a value or a list of values; pairs; another Metadata; or None.

    Raises:
        UsageError: A name or a value that metadata cannot hold; the error names it.
    """

    __slots__ = ("_fields", "_pairs")
    _pairs: list[tuple[str, Value]]
    # The form on the wire, until the next change.
    _fields: Fields | None

    def __init__(self, entries: MetadataLike | None = None) -> None:
        self._fields = None
        if entries is None:
            self._pairs = []
        elif isinstance(entries, Metadata):
            self._pairs = entries._pairs.copy()
        else:
            self._pairs = []
            self._extend(entries)

    def _extend(self, entries: object) -> None:
        if isinstance(entries, (dict, Mapping)):  # dict first: asking an abstract class takes far longer
            pairs: Iterable[object] = entries.items()
        elif isinstance(entries, Iterable) and not isinstance(entries, (str, bytes)):
            pairs = entries
        else:
            raise UsageError(f"metadata is a mapping or (name, value) pairs, not {type(entries).__name__}")
        for pair in pairs:
            if (
                type(pair) is tuple
                and pair
                and type(pair[0]) is type(pair[-1]) is str
                and pair in _sendable_pairs
            ):
                self._pairs.append(pair)
                continue
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise UsageError(f"metadata is a mapping or (name, value) pairs, not {type(pair).__name__}")
            name, value = pair
            if isinstance(value, (list, tuple)):
                for one in value:
                    self.add(name, one)
            else:
                self.add(name, value)

    def __getitem__(self, name: str) -> Value:
        lowered = name.lower()
        for key, value in self._pairs:
            if key == lowered:
                return value
        raise KeyError(name)

    def __setitem__(self, name: str, value: Value) -> None:
        name = _check_name(name)
        value = _check_value(name, value)
        self._fields = None
        pairs = self._pairs
        for index, (key, _) in enumerate(pairs):
            if key == name:
                pairs[index] = (name, value)
                pairs[index + 1 :] = [pair for pair in pairs[index + 1 :] if pair[0] != name]
                return
        pairs.append((name, value))

    def __delitem__(self, name: str) -> None:
        lowered = name.lower()
        kept = [pair for pair in self._pairs if pair[0] != lowered]
        if len(kept) == len(self._pairs):
            raise KeyError(name)
        self._fields = None
        self._pairs = kept

    def __contains__(self, name: object) -> bool:
        if not self._pairs or not isinstance(name, str):
            return False
        lowered = name.lower()
        return any(key == lowered for key, _ in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __eq__(self, other: object) -> bool:
        """Compare with a Metadata, or with anything one can be made of; order counts only within a name."""
        if isinstance(other, Metadata):
            return self._pairs == other._pairs or self._grouped() == other._grouped()
        if not isinstance(other, (Mapping, list, tuple)):
            return NotImplemented
        try:
            return self._grouped() == Metadata(other)._grouped()
        except UsageError:
            return False

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        shown = (f"{key!r}: {'<hidden>' if _is_secret(key) else repr(value)}" for key, value in self._pairs)
        return f"Metadata({', '.join(shown)})"

    def __reduce__(self) -> tuple[type[Metadata], tuple[()], list[tuple[str, Value]]]:
        return Metadata, (), self._pairs

    def __setstate__(self, state: list[tuple[str, Value]]) -> None:
        # Not through the constructor: what came from a peer may hold values that could not be sent.
        self._pairs = list(state)
        self._fields = None

    def _grouped(self) -> dict[str, list[Value]]:
        groups: dict[str, list[Value]] = {}
        for key, value in self._pairs:
            groups.setdefault(key, []).append(value)
        return groups

    def add(self, name: str, value: Value) -> None:
        """Append one pair; values that the name has already stay.

        Raises:
            UsageError: As the constructor.
        """
        name = _check_name(name)
        self._pairs.append((name, _check_value(name, value)))
        self._fields = None

    def get_all(self, name: str) -> list[Value]:
        """Return every value of a name, in order; an empty list if it has none."""
        if not self._pairs:
            return []
        lowered = name.lower()
        return [value for key, value in self._pairs if key == lowered]

    @overload
    def get(self, name: str) -> Value | None: ...
    @overload
    def get(self, name: str, default: _T) -> Value | _T: ...
    def get(self, name: str, default: _T | None = None) -> Value | _T | None:
        """Return the first value of a name, or `default`."""
        if not self._pairs:
            return default
        lowered = name.lower()
        for key, value in self._pairs:
            if key == lowered:
                return value
        return default

    def keys(self) -> list[str]:
        """Return the names in order, each once."""
        return list(dict.fromkeys([key for key, _ in self._pairs]))

    def values(self) -> list[Value]:
        """Return the value of every pair, in order."""
        return [value for _, value in self._pairs]

    def items(self) -> list[tuple[str, Value]]:
        """Return every (name, value) pair in order, repeated names included. The list is the caller's own."""
        return self._pairs.copy()

    def pop(self, name: str, default: Value | None = None) -> Value | None:
        """Remove a name with all its values; return the first, or `default` if there was none."""
        value = self.get(name)
        if value is None:
            return default
        del self[name]
        return value

    def setdefault(self, name: str, value: Value) -> Value:
        """Return the first value of a name, after giving it `value` if it had none."""
        found = self.get(name)
        if found is not None:
            return found
        self.add(name, value)
        return self[name]

    def update(self, entries: MetadataLike) -> None:
        """Take over the pairs of `entries`: each of its names replaces that name here.

        Raises:
            UsageError: As the constructor; then nothing was changed.
        """
        other = entries if isinstance(entries, Metadata) else Metadata(entries)
        if not other._pairs:
            return
        replaced = {key for key, _ in other._pairs}
        self._fields = None
        self._pairs = [pair for pair in self._pairs if pair[0] not in replaced] + other._pairs

    def clear(self) -> None:
        """Remove everything."""
        self._fields = None
        self._pairs.clear()

    def copy(self) -> Metadata:
        """Return an independent copy."""
        return Metadata(self)

    __copy__ = copy

    def merged(self, other: MetadataLike | None) -> Metadata:
        """Return a new Metadata: these pairs, with every name that `other` has replaced by its values there.

        Raises:
            UsageError: As the constructor.
        """
        if not self._pairs:
            return Metadata(other)
        result = Metadata(self)
        if other:
            result.update(other)
        return result

    @property
    def size(self) -> int:
        """Bytes as HTTP/2 counts a header list: name, value as it travels and 32, for each pair."""
        total = 0
        for key, value in self._pairs:
            # Base64 without padding: four characters for three bytes.
            length = len(value) if isinstance(value, str) else (len(value) * 4 + 2) // 3
            total += len(key) + length + _FIELD_OVERHEAD
        return total


# Not Iterable: a dict is one, too, and mypy then finds no type for {"a": "b", "c-bin": b"d"}.
_Pairs: TypeAlias = Sequence[tuple[str, Value]] | Iterator[tuple[str, Value]] | ItemsView[str, Value]
MetadataLike: TypeAlias = Metadata | Mapping[str, Value | Sequence[Value]] | _Pairs
"""What a Metadata can be made of."""


def _is_secret(name: str) -> bool:
    return any(word in name for word in _SECRET)


def _check_name(name: object) -> str:
    if not isinstance(name, str):
        raise UsageError(f"a metadata name is a str, not {type(name).__name__}: {name!r}")
    known = _checked_names.get(name)
    if known is not None:
        return known
    lowered = name.lower()
    if not _NAME.fullmatch(lowered):
        raise UsageError(f"{name!r} is no metadata name: letters, digits and the characters _ . - only")
    if len(name) <= _LONGEST_NAME:
        _remember(_checked_names, name, lowered)
    return lowered


def _check_value(name: str, value: object) -> Value:
    if name.endswith("-bin"):
        if isinstance(value, bytes):
            return value
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise UsageError(f"metadata {name!r} holds bytes, because of its -bin; not {type(value).__name__}")
    return _check_text(name, value)


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        hint = f"; name it '{name}-bin' to send bytes" if isinstance(value, (bytes, bytearray)) else ""
        raise UsageError(f"metadata {name!r} holds a str, not {type(value).__name__}{hint}")
    # Printable and ASCII together are 0x20 to 0x7e exactly.
    if not (value.isascii() and value.isprintable()):
        raise UsageError(
            f"metadata {name!r} holds printable ASCII only; name it '{name}-bin' and give bytes otherwise"
        )
    return value


def _sendable(name: str) -> bytes:
    """Return a name as it goes out, or raise if it belongs to the protocol."""
    if name in _PROTOCOL or name == "user-agent":
        raise UsageError(f"metadata {name!r} is reserved: HTTP/2 and gRPC set it themselves")
    if name.startswith("grpc-") and name not in _INTERFACE_IS_METADATA:
        raise UsageError(f"metadata {name!r} is reserved: names that start with grpc- belong to the protocol")
    encoded = name.encode("ascii")
    if len(name) <= _LONGEST_NAME:
        _remember(_sendable_names, name, encoded)
    return encoded


def to_headers(metadata: Metadata) -> Headers:
    """Return the header fields that carry `metadata`: -bin values in base64 without padding.

    Blanks at the ends of a text are dropped: a field value with them is malformed (RFC 9113, section 8.2.1),
    and gRPC allows it.

    Raises:
        UsageError: A name belongs to the protocol (`grpc-...`, content-type, te, user-agent, connection-specific
            ones), or a value that came from a peer is no printable ASCII.
    """
    return [_sendable_pairs.get(pair) or _to_header(pair) for pair in metadata._pairs]


def _to_header(pair: tuple[str, Value]) -> tuple[bytes, bytes]:
    key, value = pair
    name = _sendable_names.get(key) or _sendable(key)
    if isinstance(value, bytes):
        # Not remembered: the text of a user's mistake must never be compared with it (`python -bb`).
        return name, b2a_base64(value, newline=False).rstrip(b"=")
    header = name, _check_text(key, value).strip(" ").encode("ascii")
    if len(key) + len(value) <= _LONGEST_PAIR:
        _remember(_sendable_pairs, pair, header, _PAIRS)
    return header


def wire_fields(metadata: Metadata) -> Fields:
    """Return what `to_headers` does, made once and kept until the metadata changes.

    Raises:
        UsageError: As `to_headers`.
    """
    known = metadata._fields
    if known is None:
        known = metadata._fields = Fields(to_headers(metadata)) if metadata._pairs else NO_FIELDS
    return known


def _received(raw: bytes) -> str:
    """Return the metadata name of a received field; empty for one that is none of the user's business."""
    name = raw.decode("latin-1")
    kept = (
        _NAME.fullmatch(name) is not None  # also drops pseudo-fields
        and name not in _PROTOCOL
        and (not name.startswith("grpc-") or name in _INTERFACE_IS_METADATA)
    )
    result = name if kept else ""
    if len(raw) <= _LONGEST_NAME:
        _remember(_received_names, raw, result)
    return result


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> Metadata:
    """Return the metadata in a received header list.

    Pseudo-fields, `grpc-...`, content-type, te and connection-specific fields are left out, and so are names
    that gRPC does not allow; user-agent stays. A -bin value may be padded or not, and may be several joined
    with commas (a proxy may join repeated fields). Text that is no ASCII is kept as latin-1: one character
    for each byte.

    Raises:
        PeerError: A -bin value is no base64.
    """
    pairs: list[tuple[str, Value]] = []
    for raw, value in headers:
        name = _received_names.get(raw)
        if name is None:
            name = _received(raw)
        if not name:
            continue
        if name.endswith("-bin"):
            pairs += [(name, _decode_binary(name, part.strip(b" \t"))) for part in value.split(b",")]
        else:
            pairs.append((name, value.decode("latin-1")))
    metadata = Metadata()
    if pairs:
        metadata.__setstate__(pairs)
    return metadata


def _decode_binary(name: str, text: bytes) -> bytes:
    try:
        return a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    except Base64Error as error:
        raise PeerError(f"metadata {name!r} from the peer is no base64: {error}") from None
