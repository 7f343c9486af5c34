"""betterproto2's classes as .proto files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from wirelane.codec.betterproto.names import registered
from wirelane.codec.betterproto.plans import described
from wirelane.codec.glue import Plan, closure, files_of

__all__ = ["describe"]


def describe(types: Iterable[Any]) -> list[FileDescriptorProto]:
    """The files of message classes and of all that they use, each after those that it imports.

    Real names where the classes are generated; the package of classes written by hand is none. What the compiler
    forgets is not there: comments, options, reserved numbers, how fields were spelt before they became names in
    Python, and which of several files of a package something was in.

    Raises:
        Unplannable: A class is no message of betterproto2, or two of one name are used.
    """
    plans = closure(*(described(kind) for kind in types), opaque=True)
    return files_of(closure(*plans, *_around(plans), opaque=True))


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
