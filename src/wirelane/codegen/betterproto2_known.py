"""What the well-known types have beyond their fields, for betterproto2.

Its runtime calls `from_wrapped` and `to_wrapped` for fields that hold a plain Python value in place of a message
(a `datetime`, a `str`), and leaves the JSON forms of these types to them. The names are those that betterproto2's compiler
gives; values are the same but where that one loses something: negative durations, and the JSON of wrapped int64 and bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from string import Template
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from wirelane.codegen.betterproto2 import PackageTypes
    from wirelane.codegen.module import PyModule

__all__ = ["METHODS", "WRAPPED"]

WRAPPED: Final = {
    "google.protobuf.BoolValue": "bool",
    "google.protobuf.BytesValue": "bytes",
    "google.protobuf.DoubleValue": "float",
    "google.protobuf.Duration": "datetime.timedelta",
    "google.protobuf.FloatValue": "float",
    "google.protobuf.Int32Value": "int",
    "google.protobuf.Int64Value": "int",
    "google.protobuf.StringValue": "str",
    "google.protobuf.Timestamp": "datetime.datetime",
    "google.protobuf.UInt32Value": "int",
    "google.protobuf.UInt64Value": "int",
}
"""Message -> the Python type that stands for it in fields."""

_FROM_DICT: Final = '''
@classmethod
def from_dict(
    cls,
    value: $typing.Any,
    *,
    ignore_unknown_fields: bool = False,
) -> $typing.Self:
    """Make one of its JSON form."""
'''
_TO_DICT: Final = '''
def to_dict(
    self,
    *,
    output_format: $betterproto2.OutputFormat = $betterproto2.OutputFormat.PROTO_JSON,
    casing: $betterproto2.Casing = $betterproto2.Casing.CAMEL,
    include_default_values: bool = False,
) -> $typing.Any:
    """Return its JSON form."""
'''
_OTHERWISE: Final = "    return super().from_dict(value, ignore_unknown_fields=ignore_unknown_fields)\n"
_OPTIONS: Final = """\
    options: dict[str, $typing.Any] = {
        "output_format": output_format,
        "casing": casing,
        "include_default_values": include_default_values,
    }
"""

_WRAPPER: Final = (
    '''
@classmethod
def from_wrapped(cls, wrapped: $kind) -> $typing.Self:
    """Make one of the value that stands for it."""
    return cls(value=wrapped)

def to_wrapped(self) -> $kind:
    """Return the value that stands for it."""
    return self.value
'''
    + _FROM_DICT
    + """    if isinstance(value, $accepted):
        return cls(value=$read)
"""
    + _OTHERWISE
    + _TO_DICT
    + "    return $written\n"
)

_TIMESTAMP: Final = (
    '''
@classmethod
def from_datetime(cls, dt: $datetime.datetime) -> $typing.Self:
    """Make one of a datetime, which must have a time zone."""
    if dt.tzinfo is None:
        raise ValueError("datetime must be timezone aware")
    since = dt - $datetime.datetime(1970, 1, 1, tzinfo=$datetime.timezone.utc)
    seconds, rest = divmod(since, $datetime.timedelta(seconds=1))
    return cls(seconds, rest.microseconds * 1000)

def to_datetime(self) -> $datetime.datetime:
    """Return it as a datetime in UTC; what is below a microsecond is lost."""
    epoch = $datetime.datetime(1970, 1, 1, tzinfo=$datetime.timezone.utc)
    seconds = $datetime.timedelta(seconds=self.seconds)
    return epoch + seconds + $datetime.timedelta(microseconds=self.nanos // 1000)

@staticmethod
def timestamp_to_json(dt: $datetime.datetime) -> str:
    """Return a datetime as ProtoJSON writes it."""
    if dt.tzinfo is not None:
        dt = dt.astimezone($datetime.timezone.utc).replace(tzinfo=None)
    precision = "milliseconds" if dt.microsecond % 1000 == 0 else "microseconds"
    return dt.isoformat(timespec=precision if dt.microsecond else "seconds") + "Z"

@classmethod
def from_wrapped(cls, wrapped: $datetime.datetime) -> $typing.Self:
    """Make one of the datetime that stands for it."""
    return cls.from_datetime(wrapped)

def to_wrapped(self) -> $datetime.datetime:
    """Return the datetime that stands for it."""
    return self.to_datetime()
'''
    + _FROM_DICT
    + """    if isinstance(value, str):
        dt = $datetime.datetime.fromisoformat(value)
        return cls.from_datetime(dt.astimezone($datetime.timezone.utc))
"""
    + _OTHERWISE
    + _TO_DICT
    + """    return self.timestamp_to_json(self.to_datetime())
"""
)

_DURATION: Final = (
    '''
@classmethod
def from_timedelta(cls, delta: $datetime.timedelta) -> $typing.Self:
    """Make one of a timedelta: seconds and nanoseconds have its sign."""
    seconds, rest = divmod(abs(delta), $datetime.timedelta(seconds=1))
    sign = -1 if delta < $datetime.timedelta() else 1
    return cls(sign * seconds, sign * rest.microseconds * 1000)

def to_timedelta(self) -> $datetime.timedelta:
    """Return it as a timedelta; what is below a microsecond is rounded."""
    return $datetime.timedelta(seconds=self.seconds, microseconds=self.nanos / 1000)

@staticmethod
def delta_to_json(delta: $datetime.timedelta) -> str:
    """Return a timedelta as ProtoJSON writes it."""
    seconds, rest = divmod(abs(delta), $datetime.timedelta(seconds=1))
    digits = f"{rest.microseconds:06d}".removesuffix("000")
    sign = "-" if delta < $datetime.timedelta() else ""
    return f"{sign}{seconds}{f'.{digits}' if rest else ''}s"

@classmethod
def from_wrapped(cls, wrapped: $datetime.timedelta) -> $typing.Self:
    """Make one of the timedelta that stands for it."""
    return cls.from_timedelta(wrapped)

def to_wrapped(self) -> $datetime.timedelta:
    """Return the timedelta that stands for it."""
    return self.to_timedelta()
'''
    + _FROM_DICT
    + """    if isinstance(value, str):
        match = $re.fullmatch(r"(-?)(\\d+)(?:\\.(\\d{1,9}))?s", value)
        if match is None:
            raise ValueError(f"Invalid duration string: {value}")
        sign = -1 if match[1] else 1
        nanos = int((match[3] or "0").ljust(9, "0"))
        return cls(seconds=sign * int(match[2]), nanos=sign * nanos)
"""
    + _OTHERWISE
    + _TO_DICT
    + """    sign = "-" if self.seconds < 0 or self.nanos < 0 else ""
    digits = f"{abs(self.nanos):09d}"
    while digits.endswith("000"):
        digits = digits.removesuffix("000")
    return f"{sign}{abs(self.seconds)}{f'.{digits}' if digits else ''}s"
"""
)

_ANY: Final = (
    '''
@classmethod
def pack(
    cls,
    message: $betterproto2.Message,
    message_pool: $betterproto2.MessagePool | None = None,
) -> $typing.Self:
    """Make one that holds a message of a type in the pool."""
    pool = $pool if message_pool is None else message_pool
    return cls(type_url=pool.type_to_url[type(message)], value=bytes(message))

def unpack(
    self,
    message_pool: $betterproto2.MessagePool | None = None,
) -> $betterproto2.Message | None:
    """Return the message in it, None if it is empty; TypeError if its type is not in the pool."""
    if not self.type_url:
        return None
    pool = $pool if message_pool is None else message_pool
    kind = pool.url_to_type.get(self.type_url)
    if kind is None:
        raise TypeError(f"Can't unpack unregistered type: {self.type_url}")
    return kind.parse(self.value)
'''
    + _FROM_DICT
    + """    content = dict(value)
    type_url = content.pop("@type", "")
    kind = $pool.url_to_type.get(type_url)
    if kind is None:
        raise TypeError(f"Can't unpack unregistered type: {type_url}")
    if kind.to_dict is not $betterproto2.Message.to_dict:
        content = content["value"]
    message = kind.from_dict(content, ignore_unknown_fields=ignore_unknown_fields)
    return cls(type_url=type_url, value=bytes(message))
"""
    + _TO_DICT
    + _OPTIONS
    + """    output: dict[str, $typing.Any] = {"@type": self.type_url}
    message = self.unpack()
    if message is None:
        return output
    content = message.to_dict(**options)
    if type(message).to_dict is $betterproto2.Message.to_dict:
        return output | content
    return output | {"value": content}
"""
)

_STRUCT: Final = (
    _FROM_DICT
    + """    return cls(fields={key: $Value.from_dict(each) for key, each in value.items()})
"""
    + _TO_DICT
    + _OPTIONS
    + """    return {key: value.to_dict(**options) for key, value in self.fields.items()}
"""
)

_LIST_VALUE: Final = (
    _FROM_DICT
    + """    return cls(values=[$Value.from_dict(each) for each in value])
"""
    + _TO_DICT
    + _OPTIONS
    + """    return [value.to_dict(**options) for value in self.values]
"""
)

_VALUE: Final = (
    _FROM_DICT
    + """    match value:
        case None:
            return cls(null_value=$NullValue(0))
        case bool():
            return cls(bool_value=value)
        case int() | float():
            return cls(number_value=value)
        case str():
            return cls(string_value=value)
        case list():
            return cls(list_value=$ListValue.from_dict(value))
        case dict():
            return cls(struct_value=$Struct.from_dict(value))
    raise ValueError(f"Unknown value type: {type(value)}")
"""
    + _TO_DICT
    + """    if self.null_value is not None:
        return None
    if self.list_value is not None:
        return self.list_value.to_dict()
    if self.struct_value is not None:
        return self.struct_value.to_dict()
    for value in (self.bool_value, self.number_value, self.string_value):
        if value is not None:
            return value
    raise ValueError("Invalid value")
"""
)


Methods: TypeAlias = "Callable[[PyModule, PackageTypes, str], list[str]]"


def _methods(text: str, **more: str) -> Methods:
    def write(module: PyModule, types: PackageTypes, pool: str) -> list[str]:
        used = {
            alias: module.use(alias)
            for alias in ("betterproto2", "typing", "datetime", "re", "base64")
            if f"${alias}" in text or any(f"${alias}" in value for value in more.values())
        }
        siblings = {
            each: types.class_name(f"google.protobuf.{each}")
            for each in ("Struct", "Value", "ListValue", "NullValue")
            if f"${each}" in text
        }
        filled = {key: Template(value).substitute(used) for key, value in more.items()}
        written = Template(text).substitute(used, pool=pool, **siblings, **filled)
        return written.strip().split("\n")

    return write


def _wrapper(kind: str, accepted: str, read: str, written: str) -> Methods:
    return _methods(_WRAPPER, kind=kind, accepted=accepted, read=read, written=written)


_BYTES: Final = _WRAPPER.replace(
    "    if isinstance(value, $accepted)",
    "    if isinstance(value, bytes):\n        return cls(value=value)\n    if isinstance(value, $accepted)",
)

METHODS: Final = {
    "google.protobuf.Any": _methods(_ANY),
    "google.protobuf.BoolValue": _wrapper("bool", "bool", "value", "self.value"),
    "google.protobuf.BytesValue": _methods(
        _BYTES,
        kind="bytes",
        accepted="str",
        read="$base64.b64decode(value)",
        written='$base64.b64encode(self.value).decode("ascii")',
    ),
    "google.protobuf.DoubleValue": _wrapper("float", "(int, float, str)", "float(value)", "self.value"),
    "google.protobuf.Duration": _methods(_DURATION),
    "google.protobuf.FloatValue": _wrapper("float", "(int, float, str)", "float(value)", "self.value"),
    "google.protobuf.Int32Value": _wrapper("int", "(int, str)", "int(value)", "self.value"),
    "google.protobuf.Int64Value": _wrapper("int", "(int, str)", "int(value)", "str(self.value)"),
    "google.protobuf.ListValue": _methods(_LIST_VALUE),
    "google.protobuf.StringValue": _wrapper("str", "str", "value", "self.value"),
    "google.protobuf.Struct": _methods(_STRUCT),
    "google.protobuf.Timestamp": _methods(_TIMESTAMP),
    "google.protobuf.UInt32Value": _wrapper("int", "(int, str)", "int(value)", "self.value"),
    "google.protobuf.UInt64Value": _wrapper("int", "(int, str)", "int(value)", "str(self.value)"),
    "google.protobuf.Value": _methods(_VALUE),
}
"""Message -> what writes its methods."""
