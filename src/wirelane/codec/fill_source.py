"""The fast way of a dict into a message: source that looks for each field in turn and stores what is exactly right.

`fill(m, v, depth)` counts what it has stored. Whatever is not exactly of a field's type goes to `Rules.store`; keys
that are left, to `Rules.by_key`: JSON names, extensions, mistakes. When protobuf refuses a value (out of range, no
Unicode), `Rules.explain` finds which.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from google.protobuf import message_factory

from wirelane.codec.base import MAX_DEPTH, Fault, index_step, key_step
from wirelane.codec.fill_rules import Rules, real_oneof, set_twice
from wirelane.codec.source import Source, access

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

    from wirelane.codec.scalars import Scalar
    from wirelane.codec.wellknown import Fill

__all__ = ["compile_fill"]

# A dict with fewer than one in so many of the fields is stored key by key: looking for a field that is not there costs
# a quarter of a rule.
_SPARSE = 4
# A field takes a tenth of a millisecond to compile, and who has more of them seldom fills a quarter.
_WIDEST = 256
_TYPES = {int: "int", float: "float", str: "str", bytes: "bytes", bool: "bool"}


def compile_fill(rules: Rules) -> Fill:
    """The `fill` of a message type."""
    if len(rules.descriptor.fields) > _WIDEST:
        return lambda message, value, depth: rules.by_key(message, value, depth, False)
    fill: Fill = _FillSource(rules).compile()
    return fill


class _FillSource:
    """The source of one `fill`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._source = Source(
            f"fill {rules.descriptor.full_name}",
            {
                "by_key": rules.by_key,
                "store": rules.store,
                "explain": rules.explain,
                "Fault": Fault,
                "index_step": index_step,
                "key_step": key_step,
                "set_twice": set_twice,
                "missing": object(),
            },
        )
        self._fills: dict[str, str] = {}

    def compile(self) -> Fill:
        fields = self._rules.descriptor.fields
        oneofs = {
            name: f"o{number}" for number, name in enumerate(dict.fromkeys(map(real_oneof, fields))) if name
        }
        lines = [
            # Near the bound the rules count exactly; no field is more than two levels in.
            f"if type(v) is not dict or depth > {MAX_DEPTH - 2}: return by_key(m, v, depth, False)",
            "n = len(v)",
        ]
        if len(fields) > _SPARSE:
            lines.append(f"if n * {_SPARSE} < {len(fields)}: return by_key(m, v, depth, False)")
        lines += ["get = v.get", "d = depth + 1", *(f"{name} = None" for name in oneofs.values()), "try:"]
        lines += [f"    {line}" for field in fields for line in self._field(field, oneofs)]
        lines += [
            "    pass",
            "except (TypeError, ValueError, OverflowError) as error: raise explain(v, depth, error) from error",
            "if n: by_key(m, v, depth, True)",
        ]
        fill: Fill = self._source.function("fill(m, v, depth)", lines)
        return fill

    def _field(self, field: FieldDescriptor, oneofs: dict[str, str]) -> list[str]:
        name = field.name
        if self._rules.takes_null(field):
            lines = [f"if (x := get({name!r}, missing)) is not missing:"]
        else:
            lines = [f"if (x := get({name!r})) is not None:"]
        lines.append("    n -= 1")
        oneof = real_oneof(field)
        if oneof is not None:
            seen = oneofs[oneof]
            lines.append(f"    if {seen} is not None: raise set_twice({seen}, {oneof!r}).at({name!r})")
            lines.append(f"    {seen} = {name!r}")
        return lines + [f"    {line}" for line in self._store(field)]

    def _store(self, field: FieldDescriptor) -> list[str]:
        kind = field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            return self._map(field, kind)
        if field.is_repeated:
            return self._list(field)
        if kind is not None:
            mark = self._source.bind(message_factory.GetMessageClass(kind).SetInParent)
            return [
                # Marked as present even where the value stores nothing.
                f"{mark}(y := {access('m', field.name)})",
                f"try: {self._fill(kind)}(y, x, d)",
                f"except Fault as fault: raise fault.at({field.name!r})",
            ]
        if field.enum_type is not None:
            numbers = {each.name: each.number for each in field.enum_type.values}
            get = self._source.bind(numbers.get)
            return self._either(
                f"type(x) is str and (y := {get}(x)) is not None", [self._assign(field, "y")], field
            )
        scalar = self._rules.dialect.scalar(field)
        return self._either(_exactly(scalar), [self._assign(field, "x")], field)

    def _assign(self, field: FieldDescriptor, value: str) -> str:
        place = access("m", field.name)
        return f"{place} = {value}" if place == f"m.{field.name}" else f"setattr(m, {field.name!r}, {value})"

    def _either(self, test: str, store: list[str], field: FieldDescriptor) -> list[str]:
        """`store` where the test holds, or the rule of the field."""
        rule = f"store(m, {field.name!r}, x, depth)"
        if not test:
            return [rule]
        return [f"if {test}:", *(f"    {line}" for line in store), f"else: {rule}"]

    def _list(self, field: FieldDescriptor) -> list[str]:
        place = access("m", field.name)
        if field.message_type is not None:
            loop = [
                f"y = {place}",
                "add = y.add",
                "try:",
                f"    for e in x: {self._fill(field.message_type)}(add(), e, d)",
                # The item that failed is the last that was added.
                f"except Fault as fault: raise fault.at(index_step(len(y) - 1)).at({field.name!r})",
            ]
            return self._either("type(x) is list", loop, field)
        test = (
            "" if field.enum_type is not None else self._each_exactly(self._rules.dialect.scalar(field), "x")
        )
        return self._either(test and f"type(x) is list and {test}", [f"{place}.extend(x)"], field)

    def _map(self, field: FieldDescriptor, entry: Descriptor) -> list[str]:
        value = entry.fields_by_name["value"]
        keys = self._each_exactly(self._rules.dialect.key(entry.fields_by_name["key"]), "x")
        test = keys and f"type(x) is dict and {keys}"
        place = f"y = {access('m', field.name)}"
        if value.message_type is not None:
            loop = [
                place,
                "try:",
                f"    for k, e in x.items(): {self._fill(value.message_type)}(y[k], e, d + 1)",
                f"except Fault as fault: raise fault.at(key_step(k)).at({field.name!r})",
            ]
            return self._either(test, loop, field)
        scalar = self._rules.dialect.scalar(value)
        values = "" if value.enum_type is not None else self._each_exactly(scalar, "x.values()")
        return self._either(
            test and values and f"{test} and {values}", [place, "for k, e in x.items(): y[k] = e"], field
        )

    def _each_exactly(self, scalar: Scalar, values: str) -> str:
        """The test of several values; empty where none is right without a check."""
        if not scalar.exact:
            return ""
        test = f"{self._source.bind(scalar.exact)}.issuperset(map(type, {values}))"
        if scalar.limit is None:
            return test
        within = f"-{scalar.limit!r} <= min({values}) and max({values}) <= {scalar.limit!r}"
        if self._rules.dialect.is_json:
            # It has no NaN, which is neither less nor more, and is overlooked behind another number.
            within += f" and not any(map({self._source.bind(isnan)}, {values}))"
        return f"{test} and (not x or {within})"

    def _fill(self, kind: Descriptor) -> str:
        name = self._fills.get(kind.full_name)
        if name is None:
            fills = self._rules.fills
            name = self._fills[kind.full_name] = self._source.later(lambda: fills.fill_for(kind))
        return name


def _exactly(scalar: Scalar) -> str:
    """The test of one value `x`; empty where none is right without a check."""
    test = " or ".join(f"type(x) is {_TYPES[each]}" for each in sorted(scalar.exact, key=_TYPES.__getitem__))
    if scalar.limit is None:
        return test
    return f"({test}) and -{scalar.limit!r} <= x <= {scalar.limit!r}"
