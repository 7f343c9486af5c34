"""What services, methods, messages and enums are, read out of descriptors into `wirelane.schema.descriptions`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from wirelane.schema.comments import plain
from wirelane.schema.descriptions import (
    Description,
    EnumDescription,
    EnumValueDescription,
    FieldDescription,
    MessageDescription,
    MethodDescription,
    OneofDescription,
    ServiceDescription,
)
from wirelane.schema.options import option_values
from wirelane.schema.paths import Path, locate
from wirelane.schema.render import KINDS, proto_text

if TYPE_CHECKING:
    from wirelane.schema.methods import MethodInfo
    from wirelane.schema.pool import Descriptors

__all__ = ["describe"]


def describe(descriptors: Descriptors, symbol: str) -> Description:
    """Describe a service, method, message, enum or extension.

    Raises:
        UsageError: There is no such symbol; the error names the nearest.
    """
    kind, name = descriptors.find_symbol(symbol)
    maker = _Describer(descriptors)
    if kind == "service":
        return maker.service(descriptors.service_descriptor(name))
    if kind == "method":
        return maker.method(descriptors.find_method(name), types=True)
    if kind == "enum":
        return maker.enum(descriptors.enum_descriptor(name))
    if kind == "extension":
        return maker.extension(descriptors.pool.FindExtensionByName(name))
    return maker.message(descriptors.message_descriptor(name), types=True)


class _Describer:
    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors

    def _find(self, file: str, full_name: str) -> tuple[Path, Message]:
        path, chain = locate(self._descriptors.file_proto(file), full_name)
        return path, chain[-1]

    def _said(self, file: str, path: Path, proto: Any) -> dict[str, Any]:
        """Return what every description has: the comments around an element, and its options.

        Those of the linked descriptor lack the features of editions.
        """
        comments = self._descriptors.comments(file)
        detached, _, trailing = comments.around(path)
        return {
            "comment": plain(comments.leading(path)),
            "trailing": plain(trailing),
            "detached": tuple(plain(block) for block in detached),
            "options": option_values(proto.options, self._descriptors.pool),
        }

    def service(self, service: ServiceDescriptor) -> ServiceDescription:
        file = service.file.name
        path, proto = self._find(file, service.full_name)
        return ServiceDescription(
            name=service.full_name,
            file=file,
            methods=tuple(
                self.method(method, types=False) for method in self._descriptors.methods(service.full_name)
            ),
            deprecated=service.GetOptions().deprecated,
            text=proto_text(self._descriptors, service.full_name),
            **self._said(file, path, proto),
        )

    def method(self, method: MethodInfo, *, types: bool) -> MethodDescription:
        service = self._descriptors.service_descriptor(method.service)
        path, proto = self._find(service.file.name, f"{service.full_name}.{method.name}")
        return MethodDescription(
            name=method.name,
            path=method.path,
            service=method.service,
            cardinality=method.cardinality,
            client_streaming=method.cardinality.client_streaming,
            server_streaming=method.cardinality.server_streaming,
            input_type=method.input_type,
            output_type=method.output_type,
            request=self.message(self._descriptors.message_descriptor(method.input_type), types=types),
            response=self.message(self._descriptors.message_descriptor(method.output_type), types=types),
            deprecated=method.deprecated,
            text=proto_text(self._descriptors, method.full_name),
            **self._said(service.file.name, path, proto),
        )

    def message(self, message: Descriptor, *, types: bool) -> MessageDescription:
        file = message.file.name
        path, proto = self._find(file, message.full_name)
        assert isinstance(proto, descriptor_pb2.DescriptorProto)
        return MessageDescription(
            name=message.full_name,
            file=file,
            fields=tuple(
                self.field(item, proto.field[item.index], file, (*path, 2, item.index))
                for item in message.fields
            ),
            oneofs=tuple(
                OneofDescription(
                    oneof.name,
                    tuple(item.name for item in oneof.fields),
                    **self._said(file, (*path, 8, oneof.index), proto.oneof_decl[oneof.index]),
                )
                for oneof in message.oneofs
                if not _is_synthetic(proto, oneof.index)
            ),
            nested=self._nested(message),
            types=self._types(message) if types else (),
            extensions=self._extensions(message),
            deprecated=message.GetOptions().deprecated,
            text=proto_text(self._descriptors, message.full_name),
            **self._said(file, path, proto),
        )

    def _extensions(self, message: Descriptor) -> tuple[FieldDescription, ...]:
        if not message.is_extendable:
            return ()
        found = self._descriptors.pool.FindAllExtensions(message)
        return tuple(self.extension(item) for item in sorted(found, key=lambda item: item.number))

    def _nested(self, message: Descriptor) -> tuple[MessageDescription | EnumDescription, ...]:
        messages = [
            self.message(inner, types=False)
            for inner in message.nested_types
            if not inner.GetOptions().map_entry
        ]
        return (*messages, *(self.enum(inner) for inner in message.enum_types))

    def _types(self, message: Descriptor) -> tuple[MessageDescription | EnumDescription, ...]:
        """Follow fields by a list of what is still to be seen, not by recursion: schemas may be deep and cyclic."""
        messages: dict[str, Descriptor] = {message.full_name: message}
        enums: dict[str, EnumDescriptor] = {}
        waiting = [message]
        while waiting:
            for item in waiting.pop().fields:
                item = _map_value(item) or item
                if item.enum_type is not None:
                    enums[item.enum_type.full_name] = item.enum_type
                elif item.message_type is not None and item.message_type.full_name not in messages:
                    messages[item.message_type.full_name] = item.message_type
                    waiting.append(item.message_type)
        del messages[message.full_name]
        found: Iterable[MessageDescription | EnumDescription] = (
            *(self.message(inner, types=False) for inner in messages.values()),
            *(self.enum(inner) for inner in enums.values()),
        )
        return tuple(sorted(found, key=lambda description: description.name))

    def enum(self, enum: EnumDescriptor) -> EnumDescription:
        file = enum.file.name
        path, proto = self._find(file, enum.full_name)
        assert isinstance(proto, descriptor_pb2.EnumDescriptorProto)
        return EnumDescription(
            name=enum.full_name,
            file=file,
            values=tuple(
                EnumValueDescription(
                    value.name,
                    value.number,
                    deprecated=value.GetOptions().deprecated,
                    **self._said(file, (*path, 2, value.index), proto.value[value.index]),
                )
                for value in enum.values
            ),
            closed=enum.is_closed,
            deprecated=enum.GetOptions().deprecated,
            text=proto_text(self._descriptors, enum.full_name),
            **self._said(file, path, proto),
        )

    def extension(self, extension: FieldDescriptor) -> FieldDescription:
        file = self._descriptors.file_containing_symbol(extension.full_name)
        path, proto = self._find(file, extension.full_name)
        assert isinstance(proto, descriptor_pb2.FieldDescriptorProto)
        return self.field(
            extension,
            proto,
            file,
            path,
            name=extension.full_name,
            text=proto_text(self._descriptors, extension.full_name),
        )

    def field(
        self,
        item: FieldDescriptor,
        proto: descriptor_pb2.FieldDescriptorProto,
        file: str,
        path: Path,
        *,
        name: str | None = None,
        text: str = "",
    ) -> FieldDescription:
        value = _map_value(item)
        of = value or item
        oneof = item.containing_oneof if not proto.proto3_optional else None
        return FieldDescription(
            name=name or item.name,
            number=item.number,
            kind="map" if value is not None else KINDS[item.type],
            type=_type_name(of),
            repeated=item.is_repeated and value is None,
            key=_key_kind(value) if value is not None else None,
            value=KINDS[value.type] if value is not None else None,
            oneof=oneof.name if oneof is not None else None,
            presence=item.has_presence,
            optional=proto.proto3_optional,
            required=item.is_required,
            default=_default(item),
            values=tuple(known.name for known in of.enum_type.values) if of.enum_type is not None else (),
            json_name=item.json_name,
            packed=item.is_packed,
            extendee=_owner(item) if item.is_extension else None,
            deprecated=item.GetOptions().deprecated,
            text=text,
            **self._said(file, path, proto),
        )


def _is_synthetic(message: descriptor_pb2.DescriptorProto, index: int) -> bool:
    return any(
        item.proto3_optional and item.HasField("oneof_index") and item.oneof_index == index
        for item in message.field
    )


def _map_value(item: FieldDescriptor) -> FieldDescriptor | None:
    """Return the value's field if `item` is a map, else None."""
    if item.message_type is None or not item.message_type.GetOptions().map_entry:
        return None
    return item.message_type.fields_by_name["value"]


def _key_kind(value: FieldDescriptor) -> str:
    entry = value.containing_type
    assert entry is not None  # a field of a map's entry
    return KINDS[entry.fields_by_name["key"].type]


def _owner(item: FieldDescriptor) -> str | None:
    return item.containing_type.full_name if item.containing_type is not None else None


def _type_name(item: FieldDescriptor) -> str | None:
    if item.message_type is not None:
        return item.message_type.full_name
    return item.enum_type.full_name if item.enum_type is not None else None


def _default(item: FieldDescriptor) -> object:
    if item.is_repeated or item.message_type is not None:
        return None
    if item.enum_type is not None:
        value = item.enum_type.values_by_number.get(item.default_value)
        return value.name if value is not None else item.default_value
    return item.default_value
