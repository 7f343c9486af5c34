"""No classes for messages: requests and replies are dicts, by the schema that is in the generated code."""

from __future__ import annotations

from typing import Final

from wirelane.codegen.model import GOOGLE, Model
from wirelane.codegen.module import PyModule

__all__ = ["DictTypes"]

# Of the well-known types, those that are dicts as well; a Timestamp is a datetime, a StringValue a str.
_DICTS: Final = frozenset({"google.protobuf.Empty", "google.protobuf.Struct", "google.protobuf.Any"})


class DictTypes:
    """Dicts in place of classes."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def annotation(self, full_name: str, module: PyModule) -> str:
        """Return the type of what stands for a message."""
        typing = module.use("typing")
        if self._model.type(full_name).file.startswith(GOOGLE) and full_name not in _DICTS:
            return f"{typing}.Any"
        return f"dict[str, {typing}.Any]"

    def runtime(self, full_name: str, module: PyModule) -> str:
        """Return what a method says its messages are: by the schema."""
        return "dict"

    def is_empty(self, full_name: str) -> bool:
        """Whether a message has no fields."""
        return self._model.is_empty(full_name)
