"""betterproto2's classes as .proto files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from wirelane.codec.betterproto.names import message_name, registered
from wirelane.codec.betterproto.plans import described
from wirelane.codec.glue import Plan, closure, files_of

__all__ = ["describe"]


def describe(types: Iterable[Any]) -> list[FileDescriptorProto]:
    """The files of message classes and of all that they use, each after those that it imports.

    Classes that were generated with `google_protobuf_descriptors` know their files: these are given as they are.
    Of other generated classes the names are real, and the package of classes written by hand is none. What the
    compiler forgets is not there: comments, options, reserved numbers, how fields were spelt before they became
    names in Python, and which of several files of a package something was in.

    Raises:
        Unplannable: A class is no message of betterproto2, or two of one name are used.
    """
    files: dict[str, FileDescriptorProto] = {}
    others: list[Any] = []
    for kind in types:
        file = _own_file(kind)
        if file is None:
            others.append(kind)
        else:
            _add_with_imports(file, files)
    plans = closure(*(described(kind) for kind in others), opaque=True)
    for made in files_of(closure(*plans, *_around(plans), opaque=True)):
        files.setdefault(made.name, made)
    return list(files.values())


def _own_file(kind: Any) -> FileDescriptor | None:
    try:
        descriptor = kind.DESCRIPTOR
    except (AttributeError, KeyError):
        # Looked for among the outermost messages: a nested one is in the file of that around it.
        outer = registered(kind).get(message_name(kind)[1].rpartition(".")[0])
        return None if outer is None else _own_file(outer)
    return descriptor.file if isinstance(descriptor, Descriptor) else None


def _add_with_imports(file: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    if file.name not in files:
        for each in file.dependencies:
            _add_with_imports(each, files)
        files[file.name] = FileDescriptorProto.FromString(file.serialized_pb)


def _around(plans: Iterable[Plan]) -> list[Plan]:
    """The plans of the messages that others stand inside of, in the names."""
    found: list[Plan] = []
    for plan in plans:
        outer = plan.full_name.rpartition(".")[0]
        names = registered(plan.kind) if outer != plan.package else {}
        while outer != plan.package:
            if outer in names:
                found.append(described(names[outer]))
            outer = outer.rpartition(".")[0]
    return found
