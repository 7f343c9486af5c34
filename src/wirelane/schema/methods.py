"""`MethodInfo`: what there is to know about a method in order to call it."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from wirelane.core.method import Cardinality, method_path
from wirelane.schema.comments import plain

__all__ = ["MethodInfo"]


@dataclass(frozen=True, slots=True)
class MethodInfo:
    """One method of a service.

    Attributes:
        full_name: "pkg.Svc/Method".
        path: "/pkg.Svc/Method", as it travels.
        service: The full name of the service.
        name: The name of the method alone.
        cardinality: Which sides stream.
        input_type: The full name of the request message.
        output_type: The full name of the response message.
        comment: What the .proto file says above it, without comment signs; empty if it says nothing, or if the
            schema came without source information.
        deprecated: The method, or its service, is marked deprecated.
    """

    full_name: str
    path: str
    service: str
    name: str
    cardinality: Cardinality
    input_type: str
    output_type: str
    comment: str = ""
    deprecated: bool = False

    def __str__(self) -> str:
        return self.full_name

    @classmethod
    def of(cls, method: MethodDescriptor, *, comment: str = "", retired: bool = False) -> MethodInfo:
        """Make one of a descriptor, a raw comment, and whether the whole service is deprecated."""
        service = method.containing_service.full_name
        return cls(
            full_name=f"{service}/{method.name}",
            path=method_path(service, method.name),
            service=service,
            name=method.name,
            cardinality=Cardinality.of(method.client_streaming, method.server_streaming),
            input_type=method.input_type.full_name,
            output_type=method.output_type.full_name,
            comment=plain(comment),
            deprecated=retired or method.GetOptions().deprecated,
        )
