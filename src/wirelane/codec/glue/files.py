"""Plans as .proto files, for others to see: what reflection publishes and `wirelane describe` prints.

A package is one file, named after it ("shop/v1.proto" for shop.v1). Only where packages use each other in a
circle, which files cannot, are there several of one package. Well-known types are imported, not repeated.

Values of enums share the scope around their enum (a rule from C++), which classes do not know: where two of them
meet, those of both enums get the name of their enum in front, as the style guide has it for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from wirelane.codec.glue.plan import Enumeration, Field, Inside, Plan, Unplannable
from wirelane.codec.glue.wire import field_type
from wirelane.core.names import entry_name, snake_case
from wirelane.schema.wellknown import NAMES, file_bytes

__all__ = ["files_of"]

_BASENAME: Final = "messages"
"""What the file of messages without a package is called."""

_FileKey = tuple[str, int]


def files_of(plans: Iterable[Plan]) -> list[FileDescriptorProto]:
    """The files of plans, each after those that it imports, well-known ones included.

    Args:
        plans: With every plan inside them; see `closure`.

    Raises:
        Unplannable: Two classes have one name.
    """
    return _Files([plan for plan in plans if plan.full_name not in _wellknown()]).build()


@cache
def _wellknown() -> dict[str, str]:
    """The messages and enums of the well-known files, and where they are."""
    found: dict[str, str] = {}
    for name in sorted(NAMES):
        file = FileDescriptorProto.FromString(file_bytes(name) or b"")
        for each in _names(file.package, file.message_type, file.enum_type):
            found[each] = name
    return found


def _names(prefix: str, messages: Iterable[Any], enums: Iterable[Any]) -> Iterator[str]:
    for enum in enums:
        yield f"{prefix}.{enum.name}"
    for message in messages:
        yield f"{prefix}.{message.name}"
        yield from _names(f"{prefix}.{message.name}", message.nested_type, message.enum_type)


class _Files:
    def __init__(self, plans: list[Plan]) -> None:
        self._plans = plans
        self._enums: dict[str, Enumeration] = {}
        self._check_names()
        self._levels = self._make_levels()
        self._files: dict[_FileKey, FileDescriptorProto] = {}
        self._imports: dict[_FileKey, dict[str, None]] = {}
        self._messages: dict[str, DescriptorProto] = {}

    def build(self) -> list[FileDescriptorProto]:
        """All files, in the order of their imports."""
        for plan in sorted(self._plans, key=lambda plan: plan.full_name.count(".")):
            self._message(plan.full_name, plan.package, self._key(plan))
        for plan in self._plans:
            self._add_fields(plan)
        for enum in self._enums.values():
            self._add_enum(enum)
        for key, file in self._files.items():
            file.dependency.extend(sorted(self._imports[key]))
        for file in self._files.values():
            for message in file.message_type:
                _name_values(message)
            _name_values(file)
        return _in_order([*self._files.values(), *self._wellknown_files()])

    def _check_names(self) -> None:
        owners: dict[str, type] = {}
        enums = (field.enum for plan in self._plans for field in plan.fields if field.enum is not None)
        self._enums = {enum.full_name: enum for enum in enums if enum.full_name not in _wellknown()}
        for each in self._named():
            owner = owners.setdefault(each.full_name, each.kind)
            if owner is not each.kind:
                raise Unplannable(f"{owner!r} and {each.kind!r} are both called {each.full_name}")

    def _named(self) -> Iterator[Plan | Enumeration]:
        yield from self._plans
        yield from self._enums.values()

    # -- which file ----------------------------------------------------------------------------------------

    def _make_levels(self) -> dict[str, int]:
        """Level 0 for all, or, where packages import each other in a circle, how many changes of package lie below.

        A file of one package and level imports other packages of lower levels only, so there is no circle left.
        """
        packages = {_outermost(each): each.package for each in self._named()}
        uses: dict[str, set[str]] = {unit: set() for unit in packages}
        for plan in self._plans:
            for field in plan.fields:
                used = _used_by(field)
                if used is not None and used.full_name not in _wellknown():
                    uses[_outermost(plan)].add(_outermost(used))
        levels = dict.fromkeys(packages, 0)
        if not _has_circle(packages, uses):
            return levels
        # Relaxed until nothing changes; messages that contain each other are of one package.
        for _ in packages:
            changed = False
            for unit, each_used in uses.items():
                level = max(
                    (levels[each] + (packages[each] != packages[unit]) for each in each_used), default=0
                )
                changed |= level > levels[unit]
                levels[unit] = max(levels[unit], level)
            if not changed:
                return levels
        raise Unplannable(
            f"messages of several packages contain each other: {', '.join(sorted(packages)[:5])}"
        )

    def _key(self, each: Plan | Enumeration) -> _FileKey:
        return each.package, self._levels[_outermost(each)]

    def _file(self, key: _FileKey) -> FileDescriptorProto:
        file = self._files.get(key)
        if file is None:
            package, level = key
            name = package.replace(".", "/") or _BASENAME
            file = FileDescriptorProto(
                name=f"{name}_{level}.proto" if level else f"{name}.proto", package=package, syntax="proto3"
            )
            self._files[key], self._imports[key] = file, {}
        return file

    def _import(self, key: _FileKey, name: str) -> None:
        if name != self._file(key).name:
            self._imports[key][name] = None

    # -- what is in it -------------------------------------------------------------------------------------

    def _message(self, full_name: str, package: str, key: _FileKey) -> DescriptorProto:
        """The message of a name, with those around it made where no class stands for them."""
        message = self._messages.get(full_name)
        if message is None:
            outer, _, name = full_name.rpartition(".")
            file = self._file(key)
            around: Any = (
                file.message_type if outer == package else self._message(outer, package, key).nested_type
            )
            message = self._messages[full_name] = around.add(name=name)
        return message

    def _add_fields(self, plan: Plan) -> None:
        key = self._key(plan)
        message = self._messages[plan.full_name]
        for oneof in plan.oneofs:
            message.oneof_decl.add(name=oneof)
        for field in plan.fields:
            added = message.field.add(name=field.name, number=field.number)
            added.label = FieldDescriptorProto.LABEL_OPTIONAL
            if field.key is not None:
                self._add_map(added, message, plan, field, key)
                continue
            self._set_type(added, field, key)
            if field.repeated:
                added.label = FieldDescriptorProto.LABEL_REPEATED
            elif field.oneof is not None:
                added.oneof_index = plan.oneofs.index(field.oneof)
            elif field.presence and field.kind != "message":
                added.proto3_optional = True
        for added in message.field:
            if added.proto3_optional:
                added.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{added.name}")

    def _add_map(self, added: Any, message: DescriptorProto, plan: Plan, field: Field, key: _FileKey) -> None:
        name = entry_name(field.name)
        entry = message.nested_type.add(name=name)
        entry.options.map_entry = True
        assert field.key is not None
        entry.field.add(name="key", number=1, label=1).type = field_type(field.key)
        self._set_type(entry.field.add(name="value", number=2, label=1), field, key)
        added.label = FieldDescriptorProto.LABEL_REPEATED
        added.type = FieldDescriptorProto.TYPE_MESSAGE
        added.type_name = f".{plan.full_name}.{name}"

    def _set_type(self, added: Any, field: Field, key: _FileKey) -> None:
        added.type = field_type(field.kind)
        if field.kind == "message":
            assert field.inside is not None
            if isinstance(field.inside, Inside):
                name = field.inside.full_name
            else:
                inner = field.inside()
                name = inner.full_name
                if name not in _wellknown():
                    self._import(key, self._file(self._key(inner)).name)
        elif field.enum is not None:
            name = field.enum.full_name
            if name in self._enums:
                self._import(key, self._file(self._key(field.enum)).name)
        else:
            if field.kind == "enum":
                added.type = FieldDescriptorProto.TYPE_INT32
            return
        added.type_name = f".{name}"
        if name in _wellknown():
            self._import(key, _wellknown()[name])

    def _add_enum(self, enum: Enumeration) -> None:
        outer, _, name = enum.full_name.rpartition(".")
        key = self._key(enum)
        around: Any = self._file(key) if outer == enum.package else self._message(outer, enum.package, key)
        added = around.enum_type.add(name=name)
        values = list(enum.values)
        if 0 not in dict(values).values():
            values.insert(
                0, (f"{snake_case(name).upper()}_UNSPECIFIED", 0)
            )  # proto3 wants a zero, and wants it first
        values.sort(key=lambda value: value[1] != 0)
        for value_name, number in values:
            added.value.add(name=value_name, number=number)
        if len({number for _, number in values}) < len(values):
            added.options.allow_alias = True

    def _wellknown_files(self) -> list[FileDescriptorProto]:
        waiting = [name for names in self._imports.values() for name in names if name in NAMES]
        found: dict[str, FileDescriptorProto] = {}
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = FileDescriptorProto.FromString(file_bytes(name) or b"")
                waiting += found[name].dependency
        return list(found.values())


def _used_by(field: Field) -> Plan | Enumeration | None:
    if field.inside is None or isinstance(field.inside, Inside):
        return field.enum
    return field.inside()


def _outermost(each: Plan | Enumeration) -> str:
    """The full name of the outermost message around a message or enum, or its own: they are in one file."""
    start = len(each.package) + 1 if each.package else 0
    end = each.full_name.find(".", start)
    return each.full_name if end < 0 else each.full_name[:end]


def _has_circle(packages: dict[str, str], uses: dict[str, set[str]]) -> bool:
    """Whether packages, a file each, would import each other in a circle."""
    graph: dict[str, set[str]] = {}
    for unit, used in uses.items():
        graph.setdefault(packages[unit], set()).update(packages[each] for each in used)
    for package, used in graph.items():
        used.discard(package)
    while graph:
        free = [package for package, used in graph.items() if not used & graph.keys()]
        if not free:
            return True
        for package in free:
            del graph[package]
    return False


def _in_order(files: list[FileDescriptorProto]) -> list[FileDescriptorProto]:
    waiting = {file.name: file for file in files}
    ordered: list[FileDescriptorProto] = []
    while waiting:
        free = [file for file in waiting.values() if not waiting.keys() & set(file.dependency)]
        assert free, "imports go in a circle"
        ordered += free
        for file in free:
            del waiting[file.name]
    return ordered


def _name_values(scope: Any) -> None:
    """Tell enum values of the same name in one scope apart, here and in the messages inside."""
    counts = Counter(value.name for enum in scope.enum_type for value in enum.value)
    for enum in scope.enum_type:
        if any(counts[value.name] > 1 for value in enum.value):
            for value in enum.value:
                value.name = f"{snake_case(enum.name).upper()}_{value.name}"
    if isinstance(scope, descriptor_pb2.DescriptorProto):
        for message in scope.nested_type:
            _name_values(message)
