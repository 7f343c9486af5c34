"""From a request to the files of a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from google.protobuf.compiler import plugin_pb2

from wirelane.codegen.betterproto import BetterprotoTypes, write_betterproto
from wirelane.codegen.betterproto2 import PackageTypes, children, names_of_fields, write_messages
from wirelane.codegen.embedded import MODULE, NAME, write_schema
from wirelane.codegen.model import Model, Service
from wirelane.codegen.module import PyModule, empty_package
from wirelane.codegen.names import package_parts
from wirelane.codegen.plain import DictTypes
from wirelane.codegen.protobuf import ProtobufTypes, write_protobuf
from wirelane.codegen.protobuf_names import place_of
from wirelane.codegen.services import Types, write_services
from wirelane.codegen.settings import Messages, Settings
from wirelane.codegen.text import HEADER

__all__ = ["GeneratedFile", "generate"]

_POOL: Final = ("message_pool", "default_message_pool")


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A file of the tree.

    Attributes:
        path: Where it goes, relative to the root, with "/".
        text: What is in it.
    """

    path: str
    text: str


def generate(request: plugin_pb2.CodeGeneratorRequest, settings: Settings) -> list[GeneratedFile]:
    """Generate code.

    Args:
        request: What for; see `wirelane.codegen.make_request`. Its parameter is not looked at.
        settings: What is wanted.

    Returns:
        The files, by path. They are the same for the same .proto files, whatever the order, the time or the machine.

    Raises:
        SchemaError: The descriptors do not link, or have what the library of messages cannot express.
        UsageError: What is needed for the library is not installed.
    """
    model = Model(request)
    write = {
        Messages.BETTERPROTO2: _betterproto2,
        Messages.BETTERPROTO: _betterproto,
        Messages.PROTOBUF: _protobuf,
        Messages.NONE: _dicts,
    }[settings.messages]
    files = {file.path: file for file in write(model, settings)}
    if settings.services and model.services:
        name = f"{_root_module(model, MODULE)}.py"
        files[name] = GeneratedFile(name, write_schema(model))
    files["py.typed"] = GeneratedFile("py.typed", "")
    for path in _missing_packages(files):
        files[path] = GeneratedFile(path, empty_package(model.asked))
    return [files[path] for path in sorted(files)]


def _missing_packages(files: Iterable[str]) -> list[str]:
    """Return the `__init__.py` of every directory that has none."""
    directories = {
        "/".join(path.split("/")[:depth]) for path in files for depth in range(path.count("/") + 1)
    }
    packages = {f"{directory}/__init__.py" if directory else "__init__.py" for directory in directories}
    return sorted(packages - set(files))


def _root_module(model: Model, name: str) -> str:
    """Return what a module of our own at the root is called: no package may be called like it."""
    taken = children(model, ())
    while name in taken:
        name += "_"
    return name


def _file(module: PyModule, sources: list[str]) -> GeneratedFile:
    return GeneratedFile(module.path, module.text(sources))


def _in_package(model: Model, package: str) -> list[Service]:
    return [service for service in model.services if service.package == package]


# ------------------------------------------------------------------ messages that are in their package


def _betterproto2(model: Model, settings: Settings) -> Iterator[GeneratedFile]:
    types = PackageTypes(model)
    pool_module = _root_module(model, _POOL[0])
    for package in model.packages:
        taken = {*types.names(package), *names_of_fields(model, package), pool_module}
        module = _package_module(model, package, taken)
        if model.types(package):
            pool = module.use_local((pool_module,), _POOL[1])
            write_messages(module, model, types, package, pool)
        yield from _with_services(model, settings, package, module, types)
    yield GeneratedFile(f"{pool_module}.py", _pool_text())


def _dicts(model: Model, settings: Settings) -> Iterator[GeneratedFile]:
    types = DictTypes(model)
    for package in sorted({service.package for service in model.services}):
        yield from _with_services(model, settings, package, _package_module(model, package, ()), types)


def _package_module(model: Model, package: str, taken: Iterable[str]) -> PyModule:
    parts = package_parts(package)
    below = children(model, parts)
    ours = {_root_module(model, MODULE), "sync"} if not parts else {"sync"}
    return PyModule(parts, "__init__", taken={*taken, *below, *ours})


def _with_services(
    model: Model, settings: Settings, package: str, module: PyModule, types: Types
) -> Iterator[GeneratedFile]:
    sources, services = model.files_of(package), _in_package(model, package)
    if settings.services and services:
        write_services(module, services, types, _schema_in(model, module))
    yield _file(module, sources)
    if settings.services and settings.sync and services:
        below = children(model, module.package)
        sync = PyModule(module.package, "sync_" if "sync" in below else "sync", sync=True)
        write_services(sync, services, types, _schema_in(model, sync))
        yield _file(sync, sources)


def _schema_in(model: Model, module: PyModule) -> str:
    return module.use_local((_root_module(model, MODULE),), NAME, "_SCHEMA")


def _pool_text() -> str:
    return f"""{HEADER}

from __future__ import annotations

import typing

import betterproto2

# A cast, because the class does not say what it takes.
{_POOL[1]} = typing.cast(
    "typing.Callable[[], betterproto2.MessagePool]",
    betterproto2.MessagePool,
)()
"""


# --------------------------------------------------------------------- messages that are in their file


def _protobuf(model: Model, settings: Settings) -> Iterator[GeneratedFile]:
    for path, text in write_protobuf(model):
        yield GeneratedFile(path, text)
    yield from _by_file(model, settings, ProtobufTypes(model))


def _by_file(model: Model, settings: Settings, types: Types) -> Iterator[GeneratedFile]:
    for name in model.asked if settings.services else ():
        services = [service for service in model.services if service.file == name]
        parts, stem = place_of(name)
        for sync in (False, True) if settings.sync else (False,):
            if services:
                module = PyModule(parts, f"{stem}_wirelane{'_sync' if sync else ''}", sync=sync)
                write_services(module, services, types, _schema_in(model, module))
                yield _file(module, [name])


def _betterproto(model: Model, settings: Settings) -> Iterator[GeneratedFile]:
    for path, text in write_betterproto(model):
        yield GeneratedFile(path, text)
    types = BetterprotoTypes(model)
    for package in sorted({service.package for service in model.services}) if settings.services else ():
        for sync in (False, True) if settings.sync else (False,):
            module = PyModule(
                package_parts(package), f"wirelane_services{'_sync' if sync else ''}", sync=sync
            )
            write_services(module, _in_package(model, package), types, _schema_in(model, module))
            yield _file(module, model.files_of(package))
