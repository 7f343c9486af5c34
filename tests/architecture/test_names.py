"""What is public is what `__all__` says, and the lists agree with what is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys

import pytest

import wirelane
from support.architecture_support import PACKAGE, module_names, tree_of
from wirelane import errors
from wirelane._lazy import names_of


@pytest.mark.parametrize("name", module_names())
def test_every_name_in_all_is_there(name: str) -> None:
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert [entry for entry in listed if not hasattr(module, entry)] == []
    assert sorted(set(listed)) == sorted(listed)


@pytest.mark.parametrize("name", module_names())
def test_every_class_and_function_without_underscore_is_in_all(name: str) -> None:
    module = importlib.import_module(name)
    defined = {
        entry
        for entry, value in vars(module).items()
        if not entry.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == name
        and value.__qualname__ == entry
    }
    assert sorted(defined - set(getattr(module, "__all__", []))) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_every_room_has_a_docstring_and_a_list_of_names(path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree)
    targets = [
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    ]
    assert "__all__" in targets


def test_the_lazy_names_of_wirelane_are_the_names_that_type_checkers_see() -> None:
    assert {*names_of("wirelane"), "__version__"} == set(wirelane.__all__)
    assert set(wirelane.__all__) <= set(dir(wirelane))


@pytest.mark.parametrize("name", sorted(names_of("wirelane")))
def test_a_lazy_name_is_the_object_that_its_module_defines(name: str) -> None:
    home = names_of("wirelane")[name]
    value = getattr(wirelane, name)
    assert value is (sys.modules[home] if home == f"wirelane.{name}" else getattr(sys.modules[home], name))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'wirelane' has no attribute 'Chanel'"):
        _ = wirelane.Chanel  # type: ignore[attr-defined]


def test_every_error_is_a_name_of_wirelane() -> None:
    assert {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))} <= set(
        wirelane.__all__
    )


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from wirelane import *", namespace)
    assert set(wirelane.__all__) <= namespace.keys()


HEAVY = {
    "asyncio",
    "ssl",
    "socket",
    "selectors",
    "google",
    "hpack",
    "uvloop",
    "click",
    "rich",
    "grpclib",
    "h2",
    "ast",
}


@pytest.mark.parametrize(
    ("statement", "unwelcome"),
    [
        ("import wirelane", HEAVY),
        ("from wirelane import StatusCode, RpcError, Metadata, Limits", HEAVY - {"ast"}),
        (
            "from wirelane import tcp",
            {"google", "hpack", "click", "rich", "grpclib", "h2", "uvloop", "betterproto2"},
        ),
        (
            "from wirelane.testing import faults",
            {
                "google",
                "hpack",
                "click",
                "rich",
                "grpclib",
                "h2",
                "uvloop",
                "betterproto2",
                "pytest",
                "trustme",
            },
        ),
        ("from wirelane import grpc", {"click", "rich", "h2", "uvloop", "betterproto2"}),
    ],
)
def test_an_import_loads_no_more_than_it_needs(statement: str, unwelcome: set[str]) -> None:
    program = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & unwelcome == set()
