"""Make `wirelane.sync` of the async classes: `python tools/make_sync.py` writes it, `--check` compares it in memory.

The tables and rules are in `sync_rules.py`. For each module of `MODULES` one is written with the same name below src/wirelane/sync. A class there has the name of the
async one, its public methods and properties (those it inherits, too) with their signatures, overloads and docstrings, and a body
that does the same to `_inner` in the portal's loop:

- `async def` becomes `def`, and waits for what it called; so does a plain method (it may touch what belongs to the loop).
- Something to await or to enter (`RESULTS`) becomes what it gives; an async iterator an iterator; a class of `MODULES` its shell.
- Properties, `repr` and `str` only look, and look from here.
- What a base class written by hand brings (`Module.bases`) is left out, and `BODIES` has the bodies that no rule gives.

Docstrings are rewritten by `WORDS`; one that still speaks of awaiting or of tasks afterwards is an error. So are a rule or a name here
that nothing uses, a class that is missing, and a file that no module stands for. The output depends on the sources alone.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from sync_rules import (
    ARGUMENTS,
    BODIES,
    EXTRA,
    FOREIGN,
    GIVEN,
    IN_LOOP,
    INNER,
    LEFT_OUT,
    MODULES,
    OUTPUT,
    RESULTS,
    ROOT,
    TEST_WORDS,
    TESTS,
    WIDER,
    WORDS,
    Module,
)

V = TypeVar("V")

STANDARD = sys.stdlib_module_names - {"__future__"}
FUTURE = "from __future__ import annotations\n"
HEADER = '"""{title}\n\nMade of `{module}` by tools/make_sync.py; do not edit.\n"""\n\nfrom __future__ import annotations\n\n'


SPECIAL = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "__str__": "__str__",
}


class Problem(Exception):
    """Something that keeps the modules from being made; the text says what to do."""


Function = ast.FunctionDef | ast.AsyncFunctionDef


class Maker:
    """Makes all modules, and keeps count of the rules that were used."""

    def __init__(self) -> None:
        self.shells = {(module.product, name): module for module in MODULES for name in module.classes}
        self.used: set[str] = set()
        self.foreign: list[str] = []

    def make(self) -> dict[Path, str]:
        """Return the text of every file.

        Raises:
            Problem: A rule does not fit the sources.
        """
        files = {module.file: ModuleMaker(self, module).make() for module in MODULES}
        files |= self._tests()
        if self.foreign:
            raise Problem("WORDS needs rules for docstrings:\n" + "\n".join(self.foreign))
        rules = {
            *ARGUMENTS,
            *IN_LOOP,
            *WIDER,
            *INNER,
            *GIVEN,
            *EXTRA,
            *BODIES,
            *LEFT_OUT,
            *RESULTS,
            *(pattern for pattern, _ in WORDS),
            *(pattern for pattern, _ in TEST_WORDS),
        }
        if unused := sorted(rules - self.used):
            raise Problem(f"nothing uses the rules {unused}: take them out")
        return {path: formatted(text, path) for path, text in files.items()}

    def _tests(self) -> dict[Path, str]:
        """The tests that are run both ways, and what they share, as they are run here."""
        return {TESTS[1] / path.name: self._test(path) for path in sorted(TESTS[0].glob("*.py"))}

    def _test(self, path: Path) -> str:
        text = path.read_text("utf-8")
        parts: list[str] = []
        staying = ""
        for part, stays in marked(text):
            if stays:
                staying += part
            else:
                part = self._said(part, path)
            parts.append(part)
        return "".join(parts).replace(FUTURE, FUTURE + needed(text, staying), 1)

    def _said(self, text: str, path: Path) -> str:
        for pattern, replacement in TEST_WORDS:
            text, count = re.subn(pattern, replacement, text)
            if count:
                self.used.add(pattern)
        if found := re.search(r".*\b(async|await|asyncio)\b.*", text):
            where = f"{path.relative_to(ROOT)}: {found[0].strip()}"
            raise Problem(f"TEST_WORDS cannot say this without await: {where}")
        return text

    def rule(self, table: Mapping[str, V], name: str) -> V | None:
        """Look a rule up, and remember that it was used."""
        if name in table:
            self.used.add(name)
        return table.get(name)


class ModuleMaker:
    """Makes one module."""

    def __init__(self, maker: Maker, module: Module) -> None:
        self.maker = maker
        self.module = module
        self.names: dict[str, ast.Module] = {}  # name in an annotation or default -> where it is explained

    def make(self) -> str:
        """Return its text, not formatted yet."""
        parts = [self._function(name) for name in self.module.functions]
        parts += [self._class(name) for name in self.module.classes]
        body = "\n\n".join(parts)
        header = HEADER.format(title=self.module.title, module=self.module.name)
        exported = ", ".join(f'"{name}"' for name in sorted(self.module.functions + self.module.classes))
        return f"{header}{self._imports(body)}\n\n__all__ = [{exported}]\n\n{body}\n"

    # Classes

    def _class(self, name: str) -> str:
        owner = getattr(importlib.import_module(self.module.name), name, None)
        if owner is None:
            raise Problem(f"{self.module.name} has no class {name}")
        node = class_node(owner)
        base = self.module.bases.get(name, "_facade:Made" if name in self.module.made else "_facade:Facade")
        base_module, _, base_name = base.partition(":")
        by_hand = importlib.import_module(f"wirelane.sync.{base_module}")
        left_out = set(vars_of(getattr(by_hand, base_name.partition("[")[0])))
        for parameter in words(base_name.partition("[")[2]):
            self.names.setdefault(parameter, parsed(self.module.name))
        lines = [
            f"@facade_of(Async{name})",
            f"class {name}({base_name}):",
            indent(docstring(self._words(ast.get_docstring(node) or "", name))),
            "    __slots__ = ()",
        ]
        if name in self.module.made:
            lines.append(indent(self._constructor(owner)))
        for functions, where in members(owner):
            target = SPECIAL.get(functions[0].name, functions[0].name)
            rule = f"{self.module.product}.{name}.{target}"
            if target in left_out or rule in LEFT_OUT:
                self.maker.used.add(rule)
                continue
            lines += [
                indent(self._method(name, function, where, len(functions) > 1)) for function in functions
            ]
        return "\n\n".join(lines)

    def _constructor(self, owner: type) -> str:
        node, where = next((f[0], w) for f, w in members(owner, {"__init__"}))
        self._learn(node.args, where)
        replaced = self.maker.rule(ARGUMENTS, f"{self.module.product}.{owner.__name__}.__init__")
        rule = f"{self.module.product}.{owner.__name__}"
        call = self._call(self.maker.rule(INNER, rule) or f"Async{owner.__name__}", node.args, replaced or {})
        if given := self.maker.rule(GIVEN, rule):
            call += f", {given}"
        parameters = self._parameters(node.args, where)
        if extra := self.maker.rule(EXTRA, rule):
            parameters += f", {extra}"
            if rule in INNER:
                name = extra.partition(":")[0]
                call += f", {name}={name}"
        return f"def __init__({parameters}) -> None:\n    self._make({call})"

    def _method(self, owner: str, node: Function, where: ast.Module, overloaded: bool) -> str:
        name = SPECIAL.get(node.name, node.name)
        rule = f"{self.module.product}.{owner}.{name}"
        decorators = "".join(f"@{ast.unparse(each)}\n" for each in node.decorator_list)
        returns = self._annotation(node.returns, where)
        self._learn(node.args, where)
        head = f"{decorators}def {name}({self._parameters(node.args, where)}) -> {returns}:"
        if "@overload" in decorators:
            return f"{head} ..."
        if ".setter" in decorators and rule in WIDER:
            self.maker.used.add(rule)
            head += "  # pyright: ignore[reportPropertyTypeMismatch]"
        doc = ast.get_docstring(node)
        lines = [docstring(self._words(doc, rule))] if doc else []
        body = self.maker.rule(BODIES, rule)
        lines.append(body.strip() if body else self._body(rule, node, name, returns, overloaded))
        return head + "\n" + indent("\n".join(lines))

    def _body(self, rule: str, node: Function, name: str, returns: str, overloaded: bool) -> str:
        inner = f"self._inner.{node.name}"
        wrapped = any((self.module.product, word) in self.maker.shells for word in words(returns))
        decorators = {ast.unparse(each) for each in node.decorator_list}
        if "property" in decorators:
            if there := self.maker.rule(IN_LOOP, rule):
                return f"return {there}"
            return f"return wrap({inner})" if wrapped else f"return {inner}"
        if any(each.endswith(".setter") for each in decorators):
            return f"{inner} = {node.args.args[1].arg}"
        if name == "__enter__":
            result = "entering.enter()\n    return self"
            if returns != "Self":
                result = f"made: {returns} = wrap(entering.enter())\n    return made"
            return ENTER.format(result=result)
        if name == "__exit__":
            return f"leave(self._inner, {', '.join(each.arg for each in node.args.args[1:])})"
        if name == "__iter__" and returns == "Self":
            return "return self"
        if name == "__str__":
            return "return str(self._inner)"
        if name == "__next__":
            return "return next_of(self._inner)"
        way = "run" if isinstance(node, ast.AsyncFunctionDef) else "call"
        if way == "call" and (wrapped or returns != ast.unparse(node.returns or ast.Constant(None))):
            way = "open_now"
        replaced = self.maker.rule(ARGUMENTS, rule)
        if way == "run" and overloaded:
            inner = f"cast(Any, self._inner).{node.name}"  # of several signatures, checkers hand on the first
        call = f"{way}({self._call(inner, node.args, replaced or {})})"
        if way == "run" and wrapped:
            call = f"wrap({call})"
        if returns == "None":
            return call
        # What comes back wrapped has no type of its own.
        return f"made: {returns} = {call}\nreturn made" if wrapped and returns != "Any" else f"return {call}"

    # Functions

    def _function(self, name: str) -> str:
        where = parsed(self.module.name)
        node = next((each for each in where.body if isinstance(each, Function) and each.name == name), None)
        if node is None:
            raise Problem(f"{self.module.name} has no function {name}")
        returns = self._annotation(node.returns, where)
        self._learn(node.args, where)
        rule = f"{self.module.product}.{name}"
        replaced = self.maker.rule(ARGUMENTS, rule)
        way = "run" if isinstance(node, ast.AsyncFunctionDef) else "open_now"
        call = f"{way}({self._call(f'async_{name}', node.args, replaced or {})})"
        doc = docstring(self._words(ast.get_docstring(node) or "", name))
        body = self.maker.rule(BODIES, rule)
        if body is not None:
            body = body.strip().format(arguments=self._call("", node.args, {})[2:])
        elif (self.module.product, returns) in self.maker.shells:
            body = f"made: {returns} = {call}\nreturn made"
        else:
            body = f"return {call}"
        head = f"def {name}({self._parameters(node.args, where)}) -> {returns}:"
        return f"{head}\n{indent(doc)}\n{indent(body)}"

    # Parts

    def _parameters(self, arguments: ast.arguments, where: ast.Module) -> str:
        arguments = copy.deepcopy(arguments)
        several = [] if arguments.vararg is None else [arguments.vararg]
        for each in (*arguments.posonlyargs, *arguments.args, *several, *arguments.kwonlyargs):
            if each.annotation is not None:
                each.annotation = ast.parse(self._annotation(each.annotation, where), mode="eval").body
        return ast.unparse(arguments)

    def _call(self, function: str, arguments: ast.arguments, replaced: dict[str, str]) -> str:
        positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args) if each.arg != "self"]
        parts = [function, *(replaced.get(each, each) for each in positional)]
        if arguments.vararg is not None:
            parts.append(f"*{arguments.vararg.arg}")
        parts += [f"{each.arg}={replaced.get(each.arg, each.arg)}" for each in arguments.kwonlyargs]
        return ", ".join(parts)

    def _annotation(self, node: ast.expr | None, where: ast.Module) -> str:
        if node is None:
            return "None"
        changed = Annotations(self).visit(ast.parse(ast.unparse(node), mode="eval").body)
        for each in ast.walk(changed):
            if isinstance(each, ast.Name):
                self.names.setdefault(each.id, where)
        return ast.unparse(changed)

    def _learn(self, arguments: ast.arguments, where: ast.Module) -> None:
        for default in (*arguments.defaults, *arguments.kw_defaults):
            for each in ast.walk(default) if default is not None else ():
                if isinstance(each, ast.Name):
                    self.names.setdefault(each.id, where)

    def _words(self, text: str, rule: str) -> str:
        for pattern, replacement in WORDS:
            text, count = re.subn(pattern, replacement, text)
            if count:
                self.maker.used.add(pattern)
        self.maker.foreign += [f"{rule}: {line.strip()}" for line in text.split("\n") if FOREIGN.search(line)]
        return text

    # Imports

    def _imports(self, body: str) -> str:
        lines = {f"from {self.module.name} import {name} as Async{name}" for name in self.module.classes}
        lines |= {f"from {self.module.name} import {name} as async_{name}" for name in self.module.functions}
        own = {*self.module.classes, *self.module.functions}
        used = words(body)
        for name, where in self.names.items():
            if name in used and name not in own and (line := self._import(name, where)):
                lines.add(line)
        for helper, module in HELPERS.items():
            if helper in used and helper not in own:
                lines.add(f"from {module} import {helper}")
        for base in self.module.bases.values():
            base_module, _, base_name = base.partition(":")
            lines.add(f"from wirelane.sync.{base_module} import {base_name.partition('[')[0]}")
        return "\n".join(sorted(lines))

    def _import(self, name: str, where: ast.Module) -> str:
        shell = self.maker.shells.get((self.module.product, name))
        if shell is not None:
            return f"from {shell.sync_name} import {name}"
        for node in ast.walk(where):
            if isinstance(node, ast.ImportFrom) and any((a.asname or a.name) == name for a in node.names):
                return f"from {node.module} import {name}"
            if isinstance(node, ast.Import) and any((a.asname or a.name) == name for a in node.names):
                return f"import {name}"
        if name in COMMON:
            return f"from {COMMON[name]} import {name}"
        if defines(where, name):
            return f"from {where.name} import {name}"  # type: ignore[attr-defined]
        return ""


# See `wirelane.sync._blocks`.
ENTER = """
entering = Entering(self._inner)
try:
    {result}
except BaseException:
    entering.undo()
    raise
""".strip()

COMMON = {"Callable": "collections.abc", "Iterable": "collections.abc", "Iterator": "collections.abc"}

HELPERS = {
    "Entering": "wirelane.sync._blocks",
    "leave": "wirelane.sync._blocks",
    "cast": "typing",
    "Channel": "wirelane.sync.grpc.channel",
    "ClientStreamCall": "wirelane.sync.grpc.streams",
    "Context": "wirelane.sync.grpc.context",
    "Connection": "wirelane.sync.tcp.connection",
    "Made": "wirelane.sync._facade",
    "Facade": "wirelane.sync._facade",
    "facade_of": "wirelane.sync._facade",
    "next_of": "wirelane.sync._facade",
    "open_now": "wirelane.sync._facade",
    "wrap": "wirelane.sync._facade",
    "run": "wirelane.sync._portal",
    "call": "wirelane.sync._portal",
    "look": "wirelane.sync._connection",
    "feed": "wirelane.sync._feeding",
    "in_thread": "wirelane.sync._threads",
    "BlockingServer": "wirelane.sync._serving",
    "THREADS": "wirelane.sync._threads",
    "Threads": "wirelane.sync._threads",
    "send_all": "wirelane.sync._streams",
    "overload": "typing",
    "Any": "typing",
}


class Annotations(ast.NodeTransformer):
    """Says annotations as they are here."""

    def __init__(self, module: ModuleMaker) -> None:
        self.module = module

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        name = ast.unparse(node.value)
        if name not in RESULTS:
            return node
        self.module.maker.used.add(name)
        inside = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return ast.parse(RESULTS[name].format(*map(ast.unparse, inside)), mode="eval").body

    def visit_Name(self, node: ast.Name) -> ast.AST:
        result = self.module.maker.rule(RESULTS, f"{self.module.module.product}.{node.id}")
        return node if result is None else ast.parse(result, mode="eval").body


def words(text: str) -> set[str]:
    """All identifiers in a text."""
    return set(re.findall(r"[A-Za-z_]\w*", text))


def marked(text: str) -> Iterator[tuple[str, bool]]:
    """The text of a test in parts, and of each whether it stays as it is: what is marked `there` runs in a loop either way."""
    lines = text.splitlines(keepends=True)
    done = 0
    nodes = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if not any(isinstance(each, ast.Name) and each.id == "there" for each in node.decorator_list):
            continue
        begin = min(each.lineno for each in node.decorator_list) - 1
        if begin < done:
            continue  # inside one that stays
        yield "".join(lines[done:begin]), False
        yield "".join(lines[begin : node.end_lineno]), True
        done = node.end_lineno or begin
    yield "".join(lines[done:]), False


def needed(text: str, staying: str) -> str:
    """The imports of the standard library that what stays in a test needs as they were."""
    used = words(staying)
    lines = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            lines += [f"import {each.name}\n" for each in node.names if each.name in used]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in STANDARD:
            lines += [f"from {node.module} import {each.name}\n" for each in node.names if each.name in used]
    return "\n" + "".join(lines)


def indent(text: str) -> str:
    """The text, one level further in."""
    return "\n".join(f"    {line}" if line else line for line in text.split("\n"))


def docstring(text: str) -> str:
    """A docstring with this text."""
    closing = "\n" if "\n" in text else ""
    raw = "r" if "\\" in text else ""
    return f'{raw}"""{text}{closing}"""'


_parsed: dict[str, ast.Module] = {}


def parsed(name: str) -> ast.Module:
    """The syntax tree of a module."""
    if name not in _parsed:
        tree = ast.parse(inspect.getsource(importlib.import_module(name)))
        tree.name = name  # type: ignore[attr-defined]
        _parsed[name] = tree
    return _parsed[name]


def class_node(owner: type) -> ast.ClassDef:
    """The syntax tree of a class."""
    for node in parsed(owner.__module__).body:
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            return node
    raise Problem(f"{owner} is not at the top of its module")


def defines(where: ast.Module, name: str) -> bool:
    """Whether a module assigns or defines a name at its top."""
    for node in where.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return True
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == name for each in targets):
            return True
    return False


def members(owner: type, only: set[str] | None = None) -> Iterator[tuple[list[Function], ast.Module]]:
    """The public functions of a class and of what it inherits, those of one name together, nearest first."""
    seen: set[str] = set()
    for each in owner.__mro__:
        if not each.__module__.startswith("wirelane."):
            continue
        found: dict[str, list[Function]] = {}
        for node in class_node(each).body:
            if isinstance(node, Function) and (
                node.name in only if only else not node.name.startswith("_") or node.name in SPECIAL
            ):
                found.setdefault(node.name, []).append(node)
        for name, functions in found.items():
            if name not in seen:
                seen.add(name)
                yield functions, parsed(each.__module__)


def vars_of(base: type) -> set[str]:
    """What a class written by hand brings, without what every class has."""
    return {name for each in base.__mro__ if each.__module__.startswith("wirelane.") for name in vars(each)}


def formatted(text: str, path: Path) -> str:
    """The text as ruff leaves it: imports sorted, lines broken."""
    for arguments in (
        ["check", "--fix-only", "--quiet", "--select", "I,TC,F401"],
        ["check", "--fix-only", "--quiet", "--unsafe-fixes", "--select", "C416,UP028"],
        ["format", "--quiet"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(path), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
        if done.returncode:
            raise Problem(f"ruff refuses {path.relative_to(ROOT)}: {done.stderr}\n{text}")
        text = done.stdout
    return text


def stale() -> list[Path]:
    """Files that were made once, and that no module stands for any more."""
    expected = {module.file for module in MODULES} | {TESTS[1] / path.name for path in TESTS[0].glob("*.py")}
    mark = "by tools/make_sync.py; do not edit."
    return [
        path
        for path in (*OUTPUT.rglob("*.py"), *TESTS[1].glob("*.py"))
        if path not in expected and mark in path.read_text("utf-8")
    ]


def main() -> int:
    """Write the modules, or compare them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where something differs")
    arguments = parser.parse_args()
    try:
        files = Maker().make()
    except Problem as problem:
        print(f"make_sync: {problem}", file=sys.stderr)
        return 2
    wrong = False
    for path, text in files.items():
        there = path.read_text("utf-8") if path.exists() else ""
        if there == text:
            continue
        name = str(path.relative_to(ROOT))
        if arguments.check:
            wrong = True
            sys.stderr.writelines(
                difflib.unified_diff(there.splitlines(True), text.splitlines(True), name, f"{name} (made)")
            )
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {name}")
    for path in stale():
        wrong = True
        print(f"{path.relative_to(ROOT)} is made of no module any more: delete it", file=sys.stderr)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
