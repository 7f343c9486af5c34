"""Protobuf messages into dicts: one generated function per message type.

`Decoders.read_for(descriptor)` gives `read(message, depth)`, made for one `DictFormat`. As it is by default: a field
without presence is always there (0, "", b"", False, the first enum name, [], {}); a field with presence (messages,
members of a oneof, `optional`, proto2) is there if it is set. Keys are proto names in the order of declaration (all
members of a oneof stand where its first one does); then extensions as "[full.name]", if set. Without `emit_defaults`
there is what is set, as protobuf lists it.

A float32 comes out with the fewest digits that mean the same float32 (123.22, not 123.22000122070312), except
in lists of more than 64: vectors are not for reading, and this costs a microsecond a number.

Hot path: the function is source made from the descriptor (`source`), because a dict display over attributes is twice
as fast as any loop over closures that was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from wirelane.codec.base import MAX_DEPTH, TOO_DEEP, Fault, index_step, key_step
from wirelane.codec.dict_encode import TypeSource, plain_in_any
from wirelane.codec.fill_rules import real_oneof
from wirelane.codec.protobuf import descriptor_of
from wirelane.codec.scalars import shortest_float32
from wirelane.codec.source import Source, access
from wirelane.codec.wellknown import SHORTCUT_SCOPE, WRAPPERS, Read, read_wrapper

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

    from wirelane.codec.dialect import Dialect, Show
    from wirelane.codec.formats import DictFormat

__all__ = ["Decoders"]

_ANY: Final = "google.protobuf.Any"
_FEW: Final = 64
_INLINE_FIELDS: Final = 24  # of a message that is read where it stands, without a call
_INLINE_LEVELS: Final = 2
# Of all messages that one function reads so, since compiling takes three microseconds for each: those of a hostile
# schema would be many fields of a message that has many fields of a message that has many.
_INLINE_TOTAL: Final = 4096

_Put: TypeAlias = Callable[[dict[str, Any], Any, int], None]


class Decoders:
    """The `read` of every message type that was used so far, for one format.

    Safe to share between threads: a type compiled twice at once gives two functions that do the same.
    """

    def __init__(self, types: TypeSource, dialect: Dialect, form: DictFormat) -> None:
        self._types = types
        self._reads: dict[Descriptor, Read] = {}
        self.puts = _Puts(self)
        self.dialect = dialect
        self.form = form

    def __repr__(self) -> str:
        return f"<Decoders of {len(self._reads)} types>"

    def read_for(self, descriptor: Descriptor) -> Read:
        """`read(message, depth)` for messages of this type."""
        read = self._reads.get(descriptor)
        if read is None:
            read = self._reads[descriptor] = self._compile(descriptor)
        return read

    def show(self, field: FieldDescriptor) -> Show | None:
        """What becomes of a value that protobuf gives for a field that is no message."""
        return self.dialect.show(field, self.form.enums == "number")

    def name_of(self, field: FieldDescriptor) -> str:
        """The key of a field."""
        return field.json_name if self.form.json_names else field.name

    def _compile(self, descriptor: Descriptor) -> Read:
        name = descriptor.full_name
        if name in self.dialect.reads:
            return self.dialect.reads[name]
        if name in WRAPPERS:
            return read_wrapper(self.show(descriptor.fields_by_name["value"]))
        if name == _ANY:
            return self._read_any
        if self.form.emit_defaults:
            return _ReadSource(self, descriptor).compile()
        return _read_set(self.puts, descriptor)

    def _read_any(self, message: Any, depth: int) -> dict[str, Any]:
        # The parser bounds what nests as messages; what nests as bytes is bounded here.
        if depth > MAX_DEPTH:
            raise Fault(TOO_DEEP)
        url: str = message.type_url
        data: bytes = message.value
        if not url and not data:
            return {}
        name = url.rpartition("/")[2]
        kind = self._types.find_message(name) if name else None
        if kind is None:
            return {"@type": url, "value": self.dialect.show_octets(data)}
        try:
            inner = kind.FromString(data)
        except DecodeError as error:
            raise Fault(f"the content is no valid {name}: {error}") from error
        descriptor = descriptor_of(kind)
        value = self.read_for(descriptor)(inner, depth + 1)
        if plain_in_any(descriptor):
            return {"@type": url, "value": value}
        return {"@type": url, **value}


class _Puts(dict[FieldDescriptor, _Put]):
    """`put(out, value, depth)` for single fields, each made when it is met first.

    protobuf gives the same descriptor again as long as somebody holds it, which this does.
    """

    def __init__(self, decoders: Decoders) -> None:
        super().__init__()
        self._decoders = decoders

    def __missing__(self, field: FieldDescriptor) -> _Put:
        put = self[field] = _ReadSource(self._decoders, cast("Descriptor", field.containing_type)).put(field)
        return put


def _read_set(puts: _Puts, descriptor: Descriptor) -> Read:
    """The read of what is set, in the order of field numbers."""
    list_fields = message_factory.GetMessageClass(descriptor).ListFields

    def read(message: Any, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for field, value in list_fields(message):
            puts[field](out, value, depth)
        return out

    return read


def _read_extensions(puts: _Puts, descriptor: Descriptor) -> Callable[[Any, dict[str, Any], int], None]:
    list_fields = message_factory.GetMessageClass(descriptor).ListFields

    def read(message: Any, out: dict[str, Any], depth: int) -> None:
        for field, value in list_fields(message):
            if field.is_extension:
                puts[field](out, value, depth)

    return read


class _ReadSource:
    """The source of one `read`."""

    def __init__(self, decoders: Decoders, descriptor: Descriptor) -> None:
        self._decoders = decoders
        self._descriptor = descriptor
        kind = message_factory.GetMessageClass(descriptor)
        scope = {
            # Unbound: a field may be called HasField.
            "has": kind.HasField,
            "which": kind.WhichOneof,
            "Fault": Fault,
            "index_step": index_step,
            "key_step": key_step,
            **SHORTCUT_SCOPE,
        }
        self._source = Source(f"read {descriptor.full_name}", scope)
        self._bound: dict[str, str] = {}
        self._flat: dict[tuple[str, int], bool] = {}

    def compile(self) -> Read:
        """The function."""
        read: Read = self._source.function("read(m, depth)", self._lines())
        return read

    def put(self, field: FieldDescriptor) -> _Put:
        """`put(out, v, depth)` for a field that is set."""
        if not field.is_extension:
            lines = self._put(field, self._decoders.name_of(field), "v")
        else:
            # A repeated one that was only looked at is listed, empty.
            lines = _under(
                f"if {'v' if field.is_repeated else True}:", self._put(field, f"[{field.full_name}]", "v")
            )
        put: _Put = self._source.function("put(out, v, depth)", lines)
        return put

    def _lines(self) -> list[str]:
        fields = list(self._descriptor.fields)
        leading = 0
        while leading < len(fields) and self._is_plain(fields[leading], 0):
            leading += 1
        lines = [f"out = {self._display(fields[:leading], 'm', 0)}"]
        done: set[str] = set()
        for field in fields[leading:]:
            oneof = real_oneof(field)
            if oneof is None:
                lines += self._field(field)
            elif oneof not in done:
                done.add(oneof)
                # Not elif: Python nests those, and a schema may have a thousand members.
                lines.append(f"set_ = which(m, {oneof!r})")
                for each in self._descriptor.oneofs_by_name[oneof].fields:
                    put = self._put(each, self._decoders.name_of(each), access("m", each.name))
                    lines += _under(f"if set_ == {each.name!r}:", put)
        if self._descriptor.is_extendable:
            extensions = self._source.bind(_read_extensions(self._decoders.puts, self._descriptor))
            lines.append(f"{extensions}(m, out, depth)")
        return [*lines, "return out"]

    def _field(self, field: FieldDescriptor) -> list[str]:
        lines = self._put(field, self._decoders.name_of(field), access("m", field.name))
        return _under(f"if has(m, {field.name!r}):", lines) if field.has_presence else lines

    def _put(self, field: FieldDescriptor, name: str, place: str) -> list[str]:
        """The lines that put the value at `place` into `out`, a fault getting its path."""
        kind = field.message_type
        if self._never_fails(field, 0):
            if kind is not None and not field.is_repeated:
                return [f"y = {place}", f"out[{name!r}] = {self._display(list(kind.fields), 'y', 1)}"]
            return [f"out[{name!r}] = {self._value(field, place, 0)}"]
        inner = _inner(field)
        if kind is None or inner is None:
            value = self._value(field, place, 0)
            return [f"try: out[{name!r}] = {value}", f"except Fault as fault: raise fault.at({name!r})"]
        if kind.GetOptions().map_entry:
            key = self._shown(self._decoders.dialect.show_key(kind.fields_by_name["key"]), "k")
            # The entry of a map is a message of its own on the wire.
            value = self._reading(inner, "depth + 2")
            gather = ["z = {}", f"a = {place}"]
            store = f"for k in a: y = a[k]; z[{key}] = {value}"
            step = "key_step(k)"
        elif field.is_repeated:
            # No comprehension: its length, when a message cannot be read, is the index of that message. Reading it again to
            # find out would read what is inside of it again as well, and so on: twice as long for each level.
            gather = ["z = []"]
            store = f"for y in {place}[:]: z.append({self._reading(kind, 'depth + 1')})"
            step = "index_step(len(z))"
        else:
            value = self._reading(kind, "depth + 1")
            return [
                f"y = {place}",
                f"try: out[{name!r}] = {value}",
                f"except Fault as fault: raise fault.at({name!r})",
            ]
        return [
            *gather,
            "try:",
            f"    {store}",
            f"except Fault as fault: raise fault.at({step}).at({name!r})",
            f"out[{name!r}] = z",
        ]

    def _reading(self, kind: Descriptor, depth: str) -> str:
        """The expression that reads the message `y`."""
        name = self._bound.get(kind.full_name)
        if name is None:
            decoders = self._decoders
            name = self._bound[kind.full_name] = self._source.later(lambda: decoders.read_for(kind))
        call = f"{name}(y, {depth})"
        shortcut = self._decoders.dialect.shortcuts.get(kind.full_name)
        return f"{shortcut} else {call}" if shortcut else call

    def _is_plain(self, field: FieldDescriptor, level: int) -> bool:
        """Whether a field is always there, and an expression tells its value."""
        return not field.has_presence and self._never_fails(field, level)

    def _never_fails(self, field: FieldDescriptor, level: int) -> bool:
        kind = _inner(field)
        if kind is None:
            return not self._decoders.dialect.may_fail(field)
        flat = self._flat.get((kind.full_name, level))
        if flat is None:
            flat = self._is_flat(kind, level) and (
                level > 0 or _size(kind) * len(self._descriptor.fields) <= _INLINE_TOTAL
            )
            self._flat[kind.full_name, level] = flat
        return flat

    def _is_flat(self, kind: Descriptor, level: int) -> bool:
        """Whether a message can be read where it stands: all its fields are always there, and none can fail."""
        return (
            self._decoders.form.emit_defaults
            and level < _INLINE_LEVELS
            and len(kind.fields) <= _INLINE_FIELDS
            and not kind.is_extendable
            and kind.full_name not in self._decoders.dialect.reads
            and kind.full_name not in WRAPPERS
            and kind.full_name != _ANY
            and all(self._is_plain(field, level + 1) for field in kind.fields)
        )

    def _display(self, fields: list[FieldDescriptor], holder: str, level: int) -> str:
        """The dict of plain fields."""
        items = (
            f"{self._decoders.name_of(each)!r}: {self._value(each, access(holder, each.name), level)}"
            for each in fields
        )
        return f"{{{', '.join(items)}}}"

    def _value(self, field: FieldDescriptor, place: str, level: int) -> str:
        """The expression for a value that never fails."""
        kind = field.message_type
        if kind is None and not field.is_repeated:
            return self._shown(self._decoders.show(field), place, field)
        if kind is None:
            show = self._decoders.show(field)
            # A slice of a repeated field, here and elsewhere, is a list: twice as fast as list(), and as going through
            # the field, whose iteration ends with an exception.
            if show is None:
                return f"{place}[:]"
            if field.type == FieldDescriptor.TYPE_FLOAT and not self._decoders.dialect.is_json:
                return f"{self._source.bind(_shortest_each)}({place}[:])"
            return f"[{self._shown(show, 'e', field)} for e in {place}[:]]"
        item = f"y{level}"
        if not kind.GetOptions().map_entry:
            return f"[{self._display(list(kind.fields), item, level + 1)} for {item} in {place}[:]]"
        key_field, value_field = kind.fields_by_name["key"], kind.fields_by_name["value"]
        key = self._shown(self._decoders.dialect.show_key(key_field), "k")
        # Neither items() nor dict() of the field, which call Python for each entry.
        if value_field.message_type is None:
            shown = self._shown(self._decoders.show(value_field), "a[k]", value_field)
            return f"{{{key}: {shown} for a in ({place},) for k in a}}"
        shown = self._display(list(value_field.message_type.fields), item, level + 1)
        return f"{{{key}: {shown} for a in ({place},) for k in a for {item} in (a[k],)}}"

    def _shown(self, show: Show | None, place: str, field: FieldDescriptor | None = None) -> str:
        if show is None:
            return place
        if field is None:
            return f"{self._source.bind(show)}({place})"
        kind = f"enum {field.enum_type.full_name}" if field.enum_type is not None else f"type {field.type}"
        name = self._bound.get(kind)
        if name is None:
            name = self._bound[kind] = self._source.bind(show)
        return f"{name}({place})"


def _inner(field: FieldDescriptor) -> Descriptor | None:
    """The type of the messages in a field, or in a map."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return kind.fields_by_name["value"].message_type
    return kind


def _size(kind: Descriptor) -> int:
    """How many fields are read for a message that is flat."""
    return 1 + sum(_size(inner) if (inner := _inner(field)) is not None else 1 for field in kind.fields)


def _under(head: str, lines: list[str]) -> list[str]:
    return [head, *(f"    {line}" for line in lines)]


def _shortest_each(values: list[float]) -> list[float]:
    return values if len(values) > _FEW else list(map(shortest_float32, values))
