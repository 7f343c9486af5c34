"""Messages for betterproto, by its own protoc plugin, which has to be installed.

The plugin writes its messages, and stubs of its own, into one package per package; ours go beside them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wirelane.codegen.model import GOOGLE, Model
from wirelane.codegen.module import PyModule
from wirelane.codegen.names import class_name, package_parts
from wirelane.codegen.protobuf import compiled
from wirelane.codegen.text import HEADER
from wirelane.errors import UsageError

__all__ = ["BetterprotoTypes", "write_betterproto"]

_PLUGIN: Final = "protoc-gen-python_betterproto"
_LIBRARY: Final = "betterproto.lib.google.protobuf"


class BetterprotoTypes:
    """Classes as the plugin of betterproto 2.0 names them: flattened, in the package of their .proto package."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def runtime(self, full_name: str, module: PyModule) -> str:
        """Return how a class is written in a module."""
        info = self._model.type(full_name)
        name = class_name(info.nested)
        if info.file.startswith(GOOGLE):
            return f"{module.use(_LIBRARY)}.{name}"
        parts = package_parts(info.package)
        if parts == module.package or not parts:
            return module.use_local(parts, name, name, f"_{name}")
        alias = "_".join(parts)
        return f"{module.use_local(parts[:-1], parts[-1], alias, f'_{alias}')}.{name}"

    annotation = runtime

    def is_empty(self, full_name: str) -> bool:
        """Whether a message has no fields."""
        return self._model.is_empty(full_name)


def write_betterproto(model: Model) -> Iterator[tuple[str, str]]:
    """Yield path and text of every module that the plugin writes.

    Raises:
        UsageError: It is not installed.
        SchemaError: It fails.
    """
    plugin = _find_plugin()
    files = [name for name in model.files if not name.startswith(GOOGLE)]
    option = f"--plugin={_PLUGIN}={plugin}"
    with compiled(model, files, [option, "--python_betterproto_out=out"], "betterproto's plugin") as made:
        for path in sorted(made.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            yield path.relative_to(made).as_posix(), f"{HEADER}\n{text}"


def _find_plugin() -> str:
    beside = Path(sys.executable).parent / _PLUGIN if sys.executable else None
    found = str(beside) if beside is not None and beside.is_file() else shutil.which(_PLUGIN)
    if found is None:
        raise UsageError(
            f"messages=betterproto needs {_PLUGIN}, which is not installed: pip install 'betterproto[compiler]==2.0.0b7' "
            "(betterproto2, its successor, needs nothing more: messages=betterproto2)"
        )
    return found
