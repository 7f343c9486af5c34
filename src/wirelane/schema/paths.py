"""Where in a FileDescriptorProto a symbol is: the path that SourceCodeInfo knows it by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

__all__ = ["Path", "locate"]

Path: TypeAlias = tuple[int, ...]
"""Field numbers and indexes from the file down: (4, 0, 2, 1) is the second field of the first message."""

_Lists: TypeAlias = list[tuple[int, Sequence[Message]]]


def locate(file: descriptor_pb2.FileDescriptorProto, full_name: str) -> tuple[Path, list[Message]]:
    """Find a symbol in the file that declares it: its path, and the protos from the outermost to its own.

    Raises:
        KeyError: It is not there.
    """
    package = f"{file.package}." if file.package else ""
    parts = full_name.removeprefix(package).split(".")
    path: Path = ()
    chain: list[Message] = []
    lists: _Lists = [
        (4, file.message_type),
        (5, file.enum_type),
        (6, file.service),
        (7, file.extension),
    ]
    for part in parts:
        number, index, found = _named(part, lists, full_name)
        path = (*path, number, index)
        chain.append(found)
        lists = _inner_lists(found)
    return path, chain


def _named(part: str, lists: _Lists, full_name: str) -> tuple[int, int, Message]:
    for number, elements in lists:
        for index, element in enumerate(elements):
            if getattr(element, "name") == part:  # noqa: B009 - every element of these lists has a name
                return number, index, element
    raise KeyError(full_name)


def _inner_lists(parent: Message) -> _Lists:
    if isinstance(parent, descriptor_pb2.DescriptorProto):
        return [(3, parent.nested_type), (4, parent.enum_type), (2, parent.field), (6, parent.extension)]
    if isinstance(parent, (descriptor_pb2.ServiceDescriptorProto, descriptor_pb2.EnumDescriptorProto)):
        return [
            (2, parent.method if isinstance(parent, descriptor_pb2.ServiceDescriptorProto) else parent.value)
        ]
    return []
