"""The source of the two functions of a class: `write(object, message)` and `read(message) -> object`.

`message` is one of upb's, of the type that `wire` makes. Plain source per class, as `dataclasses` does, because
what costs is the interpreter and not protobuf: every attribute is one load, one test and one store.

What is written is what the library of the class would write, and values of a wrong type fail somewhere, in
whatever way: who calls then asks `careful` what is wrong. So no value is checked here but where protobuf itself
takes what it should not: bytes for a string, 1e39 for a float.

Names come from classes, which may be made from descriptors of a stranger: attributes enter the source only
after a test that they are identifiers, all else is an object in the function's scope or a number.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from struct import pack, unpack
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from wirelane.codec.glue.careful import listed, mapped
from wirelane.codec.glue.plan import Field, Inside, Making, Plan, Unplannable

__all__ = ["Linker", "Source"]

_WIDE: Final = 12
"""From how many lists and maps on a message is asked once which of its fields are set."""

_FLOAT32_MAX: Final = "3.4028234663852886e38"
_ZERO: Final = {"string": '""', "bytes": 'b""', "bool": "False"}

Write = Callable[[Any, Any], None]
Read = Callable[[Any], Any]
Linker = Callable[[Plan], tuple[Write, Read]]
"""Gives the functions of a plan that stands inside another."""


class Source:
    """The functions of one plan.

    They are made first and linked later, when those of all types inside are made, too.

    Raises:
        Unplannable: An attribute cannot be named in source.
    """

    def __init__(self, plan: Plan, message_class: type[Message]) -> None:
        self._plan = plan
        self._numbers = count()
        self._inner: list[tuple[str, str, Plan]] = []
        # Asking once for all that is set costs a tenth of a microsecond per field that is; asking a list for its
        # elements costs two, also where it has none. Of many lists few have any.
        lists = sum(field.many for field in plan.fields)
        self._wide = lists >= _WIDE and 4 * lists >= len(plan.fields)
        # Unbound, here and elsewhere: looking a method up on a message costs as much as a field.
        self._scope: dict[str, Any] = {
            "kind": plan.kind,
            "new": object.__new__,
            "has": message_class.HasField,
            "which": message_class.WhichOneof,
            "merge": message_class.MergeFromString,
            "unknown": UnknownFieldSet,
            "set_fields": message_class.ListFields,
            "rest": _rest_of(message_class),
            "foreign": plan.foreign or _refuse,
            "text": _text,
            "texts": _texts,
            "truth": _truth,
            "truths": _truths,
            "listed": listed,
            "mapped": mapped,
            "narrow": _narrow,
            "narrow_all": _narrow_all,
            "two_members": _two_members,
        }
        for field in plan.fields:
            if not field.attribute.isidentifier() or keyword.iskeyword(field.attribute):
                raise Unplannable(f'"{field.attribute}" is no name of an attribute')
        lines = [
            "def write(o, m):",
            *_indent(self._write_body()),
            "def read(m):",
            *_indent(self._read_body()),
        ]
        code = compile("\n".join(lines), f"<glue of {plan.python_name}>", "exec")
        exec(code, self._scope)  # noqa: S102 - names are tested, see the docstring of the module
        self.write: Write = self._scope["write"]
        self.read: Read = self._scope["read"]

    def link(self, linker: Linker) -> None:
        """Give the functions those of the messages inside."""
        for write_name, read_name, plan in self._inner:
            self._scope[write_name], self._scope[read_name] = linker(plan)

    def _bind(self, value: object) -> str:
        name = f"x{next(self._numbers)}"
        self._scope[name] = value
        return name

    def _inside(self, field: Field) -> tuple[str, str]:
        """The names of the functions that write and read the message inside a field."""
        assert field.inside is not None
        if isinstance(field.inside, Inside):
            return self._bind(field.inside.write), self._bind(field.inside.read)
        names = self._bind(None), self._bind(None)
        self._inner.append((*names, field.inside()))
        return names

    # -- write ---------------------------------------------------------------------------------------------

    def _write_body(self) -> Iterator[str]:
        plan = self._plan
        yield "if type(o) is not kind: return merge(m, foreign(o))"
        if plan.check is not None:
            yield f"{self._bind(plan.check)}(o)"
        if plan.view is not None:
            yield f"o = {self._bind(plan.view)}(o)"
        for index in self._counted():
            yield f"n{index} = 0"
        for _, fields in plan.attributes():
            yield from (
                self._write_field(fields[0]) if fields[0].choice is None else self._write_choice(fields)
            )
        for index in self._counted():
            yield f"if n{index} > 1: two_members({plan.oneofs[index]!r})"
        if plan.unknown is not None:
            yield f"if v := o.{plan.unknown}: merge(m, v)"

    def _counted(self) -> list[int]:
        """The oneofs whose members are attributes, of which more than one may be set."""
        groups = {field.oneof for field in self._plan.fields if field.choice is None}
        return [index for index, name in enumerate(self._plan.oneofs) if name in groups]

    def _write_field(self, field: Field) -> Iterator[str]:
        strict, attribute = self._plan.strict, f"o.{field.attribute}"
        if field.many:
            body = list(self._write_map(field) if field.key else self._write_list(field))
            if strict:
                expected = "dict" if field.key else field.container.__name__
                convert = "mapped" if field.key else "listed"
                yield f"if (v := {attribute}).__class__ is not {expected}: v = {convert}(v)"
                yield "if v:"
            else:
                yield f"if (v := {attribute}) or v != {'[]' if field.repeated else '{}'} and v is not None:"
            yield from _indent(body)
            return
        body = self._write_single(field, "v")
        if field.oneof is not None:
            body.append(f"n{self._plan.oneofs.index(field.oneof)} += 1")
        # What cannot be None and is, fails where it is stored.
        nullable = not strict or (field.presence and field.absent is None)
        # -0.0 equals the default, and is none.
        always = strict and field.wire_kind in ("float", "double")
        if not (field.nested or field.presence or field.oneof is not None or always):
            # Truth is tested first because that is what most values have; what is false and no default is wrong.
            default = _ZERO.get(field.wire_kind, "0")
            yield f"if (v := {attribute}) or v != {default}{' and v is not None' if nullable else ''}:"
            yield from _indent(body)
        elif nullable:
            yield f"if (v := {attribute}) is not None:"
            yield from _indent(body)
        else:
            yield f"v = {attribute}"
            yield from body

    def _write_single(self, field: Field, value: str) -> list[str]:
        target = f"m.f{field.number}"
        if field.nested:
            return list(self._write_message(field, target, value))
        return [f"{target} = {self._checked(field, value)}"]

    def _write_choice(self, fields: list[Field]) -> Iterator[str]:
        choice = fields[0].choice
        assert choice is not None
        table, pick = self._bind(dict(choice.numbers)), self._bind(choice.pick)
        yield f"v = o.{fields[0].attribute}"
        yield f"c = {table}.get(v.__class__) or {pick}(v)"
        for field in fields:
            yield f"if c == {field.number}:"
            yield from _indent(self._write_single(field, "v"))

    def _write_message(self, field: Field, target: str, value: str) -> Iterator[str]:
        write, _ = self._inside(field)
        yield f"s = {target}"
        yield "s.SetInParent()"
        yield f"{write}({self._into(field, value)}, s)"

    def _write_list(self, field: Field) -> Iterator[str]:
        target = f"m.f{field.number}"
        if field.nested:
            write, _ = self._inside(field)
            yield f"a = {target}.add"
            yield f"for x in v: {write}({self._into(field, 'x')}, a())"
        elif field.into is not None:
            yield f"{target}.extend([{self._into(field, 'x')} for x in v])"
        else:
            check = {"string": "texts(v)", "float": "narrow_all(v)"}.get(field.wire_kind, "v")
            if field.wire_kind == "bool" and self._plan.strict:
                check = "truths(v)"
            yield f"{target}.extend({check})"

    def _write_map(self, field: Field) -> Iterator[str]:
        assert field.key is not None
        key = self._check(field.key, "k")
        yield f"a = m.f{field.number}.add"
        yield "for k, x in v.items():"
        yield f"    e = a(); e.f1 = {key}"
        if field.nested:
            yield from _indent(self._write_message(field, "e.f2", "x"))
        else:
            yield f"    e.f2 = {self._checked(field, 'x')}"

    def _into(self, field: Field, value: str) -> str:
        return value if field.into is None else f"{self._bind(field.into)}({value})"

    def _checked(self, field: Field, value: str) -> str:
        return self._check(field.wire_kind, value) if field.into is None else self._into(field, value)

    def _check(self, kind: str, value: str) -> str:
        """The expression for a value that upb would not check as it should."""
        if kind == "string":
            return f"{value} if {value}.__class__ is str else text({value})"
        if kind == "float":
            return f"{value} if -{_FLOAT32_MAX} <= {value} <= {_FLOAT32_MAX} else narrow({value})"
        if kind == "bool" and self._plan.strict:
            return f"{value} if {value}.__class__ is bool else truth({value})"
        return value

    # -- read ----------------------------------------------------------------------------------------------

    def _read_body(self) -> Iterator[str]:
        plan = self._plan
        if self._wide:
            yield "s = {d.number for d, _ in set_fields(m)}"
        else:
            for index in range(len(plan.oneofs)):
                yield f'w{index} = which(m, "g{index}")'
        values = [(attribute, self._member(fields)) for attribute, fields in plan.attributes()]
        if plan.unknown is not None:
            # Last, since it takes everything else out of the message.
            values.append((plan.unknown, 'rest(m) if unknown(m) else b""'))
        if plan.making is Making.ARGUMENTS:
            maker = "kind" if plan.maker is None else self._bind(plan.maker)
            yield f"o = {maker}({', '.join(f'{name}={value}' for name, value in values)})"
        else:
            yield "o = new(kind)" if plan.making is Making.ATTRIBUTES else "o = kind()"
            for name, value in values:
                yield f"o.{name} = {value}"
        if plan.check is not None:
            yield f"{self._bind(plan.check)}(o)"
        yield "return o"

    def _member(self, fields: list[Field]) -> str:
        """The expression for an attribute."""
        if fields[0].choice is None:
            return self._value(fields[0])
        expression = self._absent(fields[0])
        for field in reversed(fields):
            value = self._converted(field, f"m.f{field.number}")
            expression = f"{value} if {self._is_set(field)} else {expression}"
        return expression

    def _is_set(self, field: Field) -> str:
        """The expression for whether a field is set, which is not asked of those without presence."""
        if self._wide:
            return f"{field.number} in s"
        if field.oneof is not None:
            return f'w{self._plan.oneofs.index(field.oneof)} == "f{field.number}"'
        return f'has(m, "f{field.number}")'

    def _absent(self, field: Field) -> str:
        return "None" if field.absent is None else f"{self._bind(field.absent)}()"

    def _value(self, field: Field) -> str:
        access = f"m.f{field.number}"
        if field.many:
            if field.key is not None:
                values, empty = f"{{e.f1: {self._converted(field, 'e.f2')} for e in {access}[:]}}", "{}"
            else:
                converted = self._converted(field, "e")
                # A slice of a repeated field is a list, and is twice as fast as list().
                values = f"{access}[:]" if converted == "e" else f"[{converted} for e in {access}[:]]"
                empty = "[]"
                if field.container is not list:
                    container = self._bind(field.container)
                    values, empty = f"{container}({values})", f"{container}()"
            return f"{values} if {self._is_set(field)} else {empty}" if self._wide else values
        value = self._converted(field, access)
        if field.oneof is not None:
            return f"{value} if {self._is_set(field)} else None"
        if field.presence:
            return f"{value} if {self._is_set(field)} else {self._absent(field)}"
        return value

    def _converted(self, field: Field, value: str) -> str:
        if field.nested:
            _, read = self._inside(field)
            value = f"{read}({value})"
        elif field.enum is not None:
            value = f"{self._bind(_Members(field.enum.kind))}[{value}]"
        return value if field.out_of is None else f"{self._bind(field.out_of)}({value})"


class _Members(dict[int, Any]):
    """The members of an enum by their numbers; what the class makes of other numbers is not kept."""

    def __init__(self, kind: Any) -> None:
        super().__init__({member.value: member for member in kind})
        self._kind = kind

    def __missing__(self, number: int) -> Any:
        return self._kind(number)


def _indent(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _rest_of(message_class: type[Message]) -> Callable[[Any], bytes]:
    list_fields = message_class.ListFields
    clear, serialize = message_class.ClearField, message_class.SerializeToString

    def rest(message: Any) -> bytes:
        """The unknown fields of a message, octet for octet; the others are gone afterwards."""
        for field, _ in list_fields(message):
            clear(message, field.name)
        return serialize(message)

    return rest


# What follows is called where upb takes too much, or for objects of another class. What it raises is never seen:
# `careful` finds the same fault again, with its path.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no str")
    return value


def _texts(values: Iterable[Any]) -> list[Any]:
    texts = values if isinstance(values, list) else list(values)
    "".join(texts)  # the fastest way to see that all are str
    return texts


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("no bool")
    return value


def _truths(values: Iterable[Any]) -> list[Any]:
    return [_truth(value) for value in values]


def _narrow(value: Any) -> float:
    number: float = unpack("<f", pack("<f", value))[0]
    return number


def _narrow_all(values: Iterable[Any]) -> list[Any]:
    numbers = values if isinstance(values, list) else list(values)
    pack(f"<{len(numbers)}f", *numbers)
    return numbers


def _two_members(oneof: str) -> None:
    raise ValueError(oneof)


def _refuse(value: Any) -> bytes:
    raise TypeError(type(value).__qualname__)
