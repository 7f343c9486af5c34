"""`wirelane.sync` beside the async library: the same names, signatures and docs, and nothing forgotten."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import make_sync
import sync_rules
import wirelane
import wirelane.sync
from wirelane import grpc, tcp
from wirelane.sync import grpc as sync_grpc
from wirelane.sync import tcp as sync_tcp

ROOT = Path(__file__).resolve().parents[3]
CLASSES = [(module, name) for module in sync_rules.MODULES for name in module.classes]
FUNCTIONS = [(module, name) for module in sync_rules.MODULES for name in module.functions]

# What exists only to be awaited, or to be awaited by others.
_AWAITED = {
    grpc: {"ClientStreamReply", "load_schema"},
    tcp: {"Connecting", "Handler"},
}
_SPECIAL = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__str__": "__str__",
}
# What only this library has, and why.
_ONLY_HERE = {
    "grpc.Channel.unary_call": "there, `unary` gives the object, and awaiting it the reply",
    "grpc.UnaryCall.reply": "there, the call itself is awaited",
}
# Another word for `close`, for those who look for it in asyncio.
_ALIASES = {"tcp.Connection.aclose", "tcp.Pool.aclose"}
# What only the parts of the library that share an object look at.
_ENGINES = {"grpc.Listening": {"calls", "compression", "limits", "lingering", "log_sampler"}}


def pair(module: sync_rules.Module, name: str) -> tuple[Any, Any]:
    return (
        getattr(importlib.import_module(module.name), name),
        getattr(importlib.import_module(module.sync_name), name),
    )


def stored(original: type) -> set[str]:
    """What a class sets on itself without an underscore."""
    own = [each for each in original.__mro__ if each.__module__.startswith("wirelane.")]
    return {
        node.attr
        for each in own
        for node in ast.walk(make_sync.class_node(each))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self" and not node.attr.startswith("_")
    }


def shape(function: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("product", "sync"), [(grpc, sync_grpc), (tcp, sync_tcp)], ids=["grpc", "tcp"])
def test_each_public_name_has_its_twin(product: Any, sync: Any) -> None:
    """A name that is new in the async library is here, too, or is named above with its reason."""
    assert set(product.__all__) - _AWAITED[product] == set(sync.__all__)


def test_what_both_libraries_share_is_the_same() -> None:
    """Errors, settings and values are not made twice."""
    assert set(wirelane.__all__) - {"run", "__version__"} == set(wirelane.sync.__all__)
    for name in set(wirelane.sync.__all__) - {"grpc", "tcp"}:
        assert getattr(wirelane.sync, name) is getattr(wirelane, name)


@pytest.mark.parametrize(("module", "name"), CLASSES, ids=[f"{m.product}.{n}" for m, n in CLASSES])
def test_each_method_has_its_twin(module: sync_rules.Module, name: str) -> None:
    """With the same parameters, in the same order, with the same defaults; properties are properties."""
    original, twin = pair(module, name)
    missing = []
    for each in dir(original):
        target = _SPECIAL.get(each, each)
        rule = f"{module.product}.{name}.{each}"
        if (each.startswith("_") and each not in _SPECIAL) or rule in sync_rules.LEFT_OUT or rule in _ALIASES:
            continue
        mine, other = getattr(twin, target, None), getattr(original, each)
        if mine is None:
            missing.append(each)
        elif isinstance(other, property):
            assert isinstance(mine, property), each
            assert (mine.fset is None) == (other.fset is None), each
        elif inspect.isfunction(other):
            assert shape(mine) == shape(other), each
    assert missing == []


@pytest.mark.parametrize(("module", "name"), CLASSES, ids=[f"{m.product}.{n}" for m, n in CLASSES])
def test_each_attribute_has_its_twin(module: sync_rules.Module, name: str) -> None:
    """What a class sets on itself without an underscore is for its users, and so for those of its twin, or is named above."""
    original, twin = pair(module, name)
    missing = {each for each in stored(original) if not hasattr(twin, each)}
    assert missing == _ENGINES.get(f"{module.product}.{name}", set())


def test_what_the_other_library_has_not_is_named_above() -> None:
    """Each public name of a class, with the reason why it is only here."""
    only_here = {
        f"{module.product}.{name}.{each}"
        for module, name in CLASSES
        for original, twin in [pair(module, name)]
        for each in set(dir(twin)) - set(dir(original)) - stored(original)
        if not each.startswith("_")
    }
    assert only_here == set(_ONLY_HERE)


@pytest.mark.parametrize(("module", "name"), FUNCTIONS, ids=[f"{m.product}.{n}" for m, n in FUNCTIONS])
def test_each_function_has_the_parameters_of_its_twin(module: sync_rules.Module, name: str) -> None:
    """With the same defaults."""
    original, twin = pair(module, name)
    assert shape(twin) == shape(original)


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module in sync_rules.MODULES for name in module.made],
    ids=lambda each: each if isinstance(each, str) else each.product,
)
def test_constructors_take_the_same(module: sync_rules.Module, name: str) -> None:
    """And what is said in `sync_rules.EXTRA`, after it."""
    original, twin = pair(module, name)
    extra = sync_rules.EXTRA.get(f"{module.product}.{name}", "").partition(":")[0]
    assert [each for each in shape(twin) if each[0] != extra] == shape(original)


def test_no_docstring_speaks_of_awaiting() -> None:
    """Docs are said as they are here: also those written by hand."""
    foreign = []
    for module, name in CLASSES:
        twin = pair(module, name)[1]
        for attribute in ("__class__", *(each for each in dir(twin) if not each.startswith("_"))):
            text = inspect.getdoc(twin if attribute == "__class__" else getattr(twin, attribute)) or ""
            if found := sync_rules.FOREIGN.search(text):
                foreign.append(f"{name}.{attribute}: {found[0]}")
    assert foreign == []


def test_the_modules_are_what_the_tool_makes() -> None:
    """Byte by byte; and no file is left that nothing stands for."""
    done = subprocess.run(
        [sys.executable, "tools/make_sync.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_rule_that_nothing_uses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a docstring that no rule puts right."""
    monkeypatch.setattr(make_sync, "WORDS", (*sync_rules.WORDS, (r"never to be found", "")))
    with pytest.raises(make_sync.Problem, match="never to be found"):
        make_sync.Maker().make()
    without = tuple(rule for rule in sync_rules.WORDS if "await " not in rule[0])
    monkeypatch.setattr(make_sync, "WORDS", without)
    with pytest.raises(make_sync.Problem, match=r"docstrings:\n[^\n]*await "):
        make_sync.Maker().make()


def test_a_class_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with its module."""
    monkeypatch.setattr(make_sync, "MODULES", (sync_rules.Module("grpc/stub", "Stubs.", ("NoSuchStub",)),))
    with pytest.raises(make_sync.Problem, match=re.escape("wirelane.grpc.stub has no class NoSuchStub")):
        make_sync.Maker().make()
