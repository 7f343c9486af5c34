"""Messages for betterproto2: dataclasses that behave as those of its own compiler.

Why not that compiler: what it writes refuses to run with a betterproto2 of another minor version, does not survive a
package whose name is a keyword or two messages that flatten to one name, loses presence in proto2 and editions, is not
clean under mypy --strict, and its format is that of whichever ruff is on PATH. The tests hold ours against it, field by
field.

A package of .proto files becomes one package of Python, its messages in `__init__.py`, in the order of the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FieldDescriptor

from wirelane.codegen.betterproto2_known import METHODS, WRAPPED
from wirelane.codegen.model import Model, TypeInfo
from wirelane.codegen.module import PyModule, with_docstring
from wirelane.codegen.names import Scope, class_name, enum_member_names, field_name, package_parts
from wirelane.codegen.text import WIDTH, call, indent, literal
from wirelane.errors import SchemaError

__all__ = ["PackageTypes", "children", "names_of_fields", "write_messages"]

_Field = FieldDescriptor
_BUILTINS: Final = {
    **dict.fromkeys((_Field.TYPE_DOUBLE, _Field.TYPE_FLOAT), "float"),
    _Field.TYPE_BOOL: "bool",
    _Field.TYPE_STRING: "str",
    _Field.TYPE_BYTES: "bytes",
}
_TYPES: Final = {
    getattr(_Field, name): name
    for name in dir(_Field)
    if name.startswith("TYPE_") and name not in ("TYPE_GROUP", "TYPE_MAP")
}


class PackageTypes:
    """Classes that are in the package of their .proto package, flattened: "pkg.Outer.Inner" is pkg.OuterInner."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._classes: dict[str, tuple[tuple[str, ...], str]] = {}
        for package in model.packages:
            parts = package_parts(package)
            # A class that is called like a package below would hide it.
            scope = Scope(children(model, parts))
            infos = model.types(package)
            # A name that needs no change is nobody else's, and an outer one goes before what is flattened to it.
            infos.sort(key=lambda info: (class_name(info.nested) != info.nested, info.nested.count(".")))
            for info in infos:
                own = info.nested.replace(".", "_")
                self._classes[info.full_name] = (parts, scope.take(class_name(info.nested), own))

    def class_name(self, full_name: str) -> str:
        """Return the name of a class in its package."""
        return self._classes[full_name][1]

    def names(self, package: str) -> list[str]:
        """Return the names of all classes of a package."""
        return [self.class_name(info.full_name) for info in self._model.types(package)]

    def runtime(self, full_name: str, module: PyModule) -> str:
        """Return how a class is written in a module."""
        parts, name = self._classes[full_name]
        if parts == module.package:
            return name if module.name == "__init__" else module.use_local(parts, name)
        late = module.name == "__init__"
        if not parts:
            return module.use_local(parts, name, name, f"_{name}", late=late)
        alias = "_".join(parts)
        return f"{module.use_local(parts[:-1], parts[-1], alias, f'_{alias}', late=late)}.{name}"

    annotation = runtime

    def is_empty(self, full_name: str) -> bool:
        """Whether a message has no fields."""
        return self._model.is_empty(full_name)


def children(model: Model, parts: tuple[str, ...]) -> set[str]:
    """Return the names of the packages right below one."""
    depth = len(parts)
    below = (package_parts(package) for package in model.packages)
    return {other[depth] for other in below if len(other) > depth and other[:depth] == parts}


def write_messages(module: PyModule, model: Model, types: PackageTypes, package: str, pool: str) -> None:
    """Write the messages and enums of a package.

    Args:
        module: The `__init__` of the package.
        model: What there is.
        types: What the classes are called.
        package: The package.
        pool: What the pool of messages is called in the module.

    Raises:
        SchemaError: A message has what betterproto2 has no way to express.
    """
    for info in model.types(package):
        name = types.class_name(info.full_name)
        module.public.append(name)
        if isinstance(info.proto, descriptor_pb2.EnumDescriptorProto):
            module.body += ["", "", *_enum(module, model, info, name)]
        else:
            module.body += ["", "", *_message(module, model, types, info, name, pool)]
            arguments = (literal(package), literal(info.nested), name)
            module.body += ["", "", *call(f"{pool}.register_message(", arguments)]


# ---------------------------------------------------------------------------------------------- enums


def _enum(module: PyModule, model: Model, info: TypeInfo, name: str) -> list[str]:
    assert isinstance(info.proto, descriptor_pb2.EnumDescriptorProto)
    values = info.proto.value
    members = enum_member_names(info.proto.name, [value.name for value in values])
    lines: list[str] = []
    for index, (member, value) in enumerate(zip(members, values, strict=True)):
        said = _said(model.comment(info.file, (*info.path, 2, index)))
        lines += [f"{member} = {value.number}", *said, *([""] if said else [])]
    if not lines[-1]:
        del lines[-1]
    renamed = [(member, value) for member, value in zip(members, values, strict=True) if member != value.name]
    if renamed:
        names: dict[int, str] = {}
        for _, value in renamed:
            names.setdefault(value.number, value.name)
        for head, entries in (
            (
                "betterproto_value_to_renamed_proto_names(cls) -> dict[int, str]:",
                [f"{number}: {literal(value)}" for number, value in names.items()],
            ),
            (
                "betterproto_renamed_proto_names_to_value(cls) -> dict[str, int]:",
                [f"{literal(value.name)}: {value.number}" for _, value in renamed],
            ),
        ):
            body = indent(call("return {", entries, "}", depth=2))
            lines += ["", "@classmethod", f"def {head}", *body]
    base = f"{module.use('betterproto2')}.Enum"
    text = model.comment(info.file, info.path)
    return with_docstring([f"class {name}({base}):"], text, _spaced(lines) if text else lines)


def _spaced(lines: list[str]) -> list[str]:
    return ["", *lines]


# ------------------------------------------------------------------------------------------- messages


def _message(
    module: PyModule, model: Model, types: PackageTypes, info: TypeInfo, name: str, pool: str
) -> list[str]:
    assert isinstance(info.proto, descriptor_pb2.DescriptorProto)
    scope = Scope()
    fields: list[tuple[int, str, FieldDescriptor]] = []
    for index, proto in enumerate(info.proto.field):
        attribute = field_name(proto.name)
        # An underscore more would not tell them apart in JSON.
        attribute = scope.take(attribute, f"{attribute.rstrip('_')}_{proto.number}")
        fields.append((index, attribute, model.field(info.full_name, proto.number)))
    writer = _FieldWriter(module, types, {attribute for _, attribute, _ in fields})
    lines: list[str] = []
    for index, attribute, field in fields:
        said = _said(model.comment(info.file, (*info.path, 2, index)))
        lines += [*writer.field(attribute, field, info.proto.field[index]), *said, *([""] if said else [])]
    if lines and not lines[-1]:
        del lines[-1]
    lines += _deprecations(module, info, name, fields)
    known = METHODS.get(info.full_name)
    if known is not None:
        lines += ["", *known(module, types, pool)]
    decorator = f"@{module.use('dataclasses')}.dataclass(eq=False, repr=False)"
    text = _message_text(model, info)
    body = lines if lines or text else ["pass"]
    head = [decorator, f"class {name}({module.use('betterproto2')}.Message):"]
    return with_docstring(head, text, _spaced(body) if text and lines else body)


def _said(comment: str) -> list[str]:
    """Return a docstring behind a field, where editors look for it."""
    return [line.removeprefix("    ") for line in with_docstring([], comment, [])]


def _message_text(model: Model, info: TypeInfo) -> str:
    assert isinstance(info.proto, descriptor_pb2.DescriptorProto)
    text = model.comment(info.file, info.path)
    real = {
        field.oneof_index
        for field in info.proto.field
        if field.HasField("oneof_index") and not field.proto3_optional
    }
    oneofs = [
        f"    {oneof.name}: {model.comment(info.file, (*info.path, 8, index)) or 'at most one of its fields'}"
        for index, oneof in enumerate(info.proto.oneof_decl)
        if index in real
    ]
    if info.proto.options.deprecated:
        text += "\n\nDeprecated."
    if oneofs:
        text = "\n".join([text or f"{info.nested}.", "", "Oneofs:", *oneofs])
    return text


def _deprecations(
    module: PyModule, info: TypeInfo, name: str, fields: list[tuple[int, str, FieldDescriptor]]
) -> list[str]:
    assert isinstance(info.proto, descriptor_pb2.DescriptorProto)
    old = [attribute for _, attribute, field in fields if field.GetOptions().deprecated]
    if not old and not info.proto.options.deprecated:
        return []

    def warn(what: str) -> list[str]:
        arguments = (
            literal(f"{what} is deprecated"),
            f"{module.use('builtins')}.DeprecationWarning",
            "stacklevel=3",
        )
        return call(f"{module.use('warnings')}.warn(", arguments, depth=3)

    lines = ["", "def __post_init__(self) -> None:"]
    if info.proto.options.deprecated:
        lines += indent(warn(name))
    lines.append("    super().__post_init__()")
    for attribute in old:
        lines.append(f"    if self.is_set({literal(attribute)}):")
        lines += indent(warn(f"{name}.{attribute}"), 2)
    return lines


class _FieldWriter:
    """Writes the fields of one message, none of whose names may stand for a type in its annotations."""

    def __init__(self, module: PyModule, types: PackageTypes, names: set[str]) -> None:
        self._module = module
        self._types = types
        self._names = names

    def field(
        self, attribute: str, field: FieldDescriptor, proto: descriptor_pb2.FieldDescriptorProto
    ) -> list[str]:
        """Return the lines of one field."""
        betterproto2 = self._module.use("betterproto2")
        entry = _map_entry(field)
        if entry is not None:
            key, value = entry
            annotation = f"{self._builtin('dict')}[{self._type(key)}, {self._type(value)}]"
            meta = [f"{betterproto2}.{_type_name(key)}", f"{betterproto2}.{_type_name(value)}"]
            if value.message_type is not None and value.message_type.full_name in WRAPPED:
                meta.append(f"unwrap_2=lambda: {self._class(value)}")
            arguments = [str(field.number), f"{betterproto2}.TYPE_MAP"]
            lines = call(f"map_meta={betterproto2}.map_meta(", meta, "),", depth=2)
            arguments.append("\n".join(lines).removesuffix(","))
        else:
            annotation, arguments = self._plain(field, proto, betterproto2)
        head = f"{attribute}: {annotation} = "
        if len(head) + len(betterproto2) + len(".field(") + 4 <= WIDTH or len(head) + 5 > WIDTH:
            return call(f"{head}{betterproto2}.field(", arguments, depth=1)
        return [f"{head}(", *indent(call(f"{betterproto2}.field(", arguments, depth=2)), ")"]

    def _plain(
        self, field: FieldDescriptor, proto: descriptor_pb2.FieldDescriptorProto, betterproto2: str
    ) -> tuple[str, list[str]]:
        kind = self._type(field)
        arguments = [str(field.number), f"{betterproto2}.{_type_name(field)}"]
        if field.message_type is not None and field.message_type.full_name in WRAPPED:
            # Called when it is needed: the class may be imported behind the messages.
            arguments.append(f"unwrap=lambda: {self._class(field)}")
        if field.is_repeated:
            return f"{self._builtin('list')}[{kind}]", [*arguments, "repeated=True"]
        if field.has_presence:
            arguments.append("optional=True")
            # `optional` makes a oneof of its own, which nobody wrote.
            if proto.HasField("oneof_index") and not proto.proto3_optional:
                assert field.containing_oneof is not None
                arguments.append(f"group={literal(field.containing_oneof.name)}")
            return f"{kind} | None", arguments
        if field.enum_type is not None:
            arguments.append(f"default_factory=lambda: {self._class(field)}(0)")
        return kind, arguments

    def _type(self, field: FieldDescriptor) -> str:
        wrapped = WRAPPED.get(field.message_type.full_name) if field.message_type is not None else None
        if wrapped is not None:
            module, _, name = wrapped.rpartition(".")
            return f"{self._module.use(module)}.{name}" if module else self._builtin(name)
        if field.message_type is not None or field.enum_type is not None:
            return self._class(field)
        return self._builtin(_BUILTINS.get(field.type, "int"))

    def _class(self, field: FieldDescriptor) -> str:
        kind = field.message_type if field.message_type is not None else field.enum_type
        assert kind is not None
        return self._types.runtime(kind.full_name, self._module)

    def _builtin(self, name: str) -> str:
        return f"{self._module.use('builtins')}.{name}" if name in self._names else name


def _type_name(field: FieldDescriptor) -> str:
    name = _TYPES.get(field.type)
    if name is None:
        raise SchemaError(
            f"{field.full_name} is a group, or a message that is written like one (DELIMITED), which betterproto2 "
            "cannot read; use messages=protobuf"
        )
    return name


def _map_entry(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor] | None:
    message = field.message_type
    if message is None or not message.GetOptions().map_entry:
        return None
    return message.fields_by_number[1], message.fields_by_number[2]


def names_of_fields(model: Model, package: str) -> Iterator[str]:
    """Yield the attributes of all messages of a package: what they are called, no module may be called in it."""
    for info in model.types(package):
        if isinstance(info.proto, descriptor_pb2.DescriptorProto):
            yield from (field_name(field.name) for field in info.proto.field)
