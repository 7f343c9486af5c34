"""Generated files in a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirelane import UsageError
from wirelane.codegen import GeneratedFile, compare, write
from wirelane.codegen.text import HEADER


def made(**texts: str) -> list[GeneratedFile]:
    return [
        GeneratedFile(path.replace("__", "/") + ".py", f"{HEADER}\n{text}")
        for path, text in sorted(texts.items())
    ]


def put(root: Path, files: list[GeneratedFile], *, force: bool = False) -> None:
    write(root, files, compare(root, files), force=force)


def content(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): path.read_text().removeprefix(f"{HEADER}\n")
        for path in root.rglob("*")
        if path.is_file()
    }


def test_what_is_written_is_there_and_nothing_is_to_be_done_then(tmp_path: Path) -> None:
    files = made(a="1", b__c="2")
    assert compare(tmp_path / "out", files).missing == ("a.py", "b/c.py")
    put(tmp_path / "out", files)
    assert content(tmp_path / "out") == {"a.py": "1", "b/c.py": "2"}
    assert not compare(tmp_path / "out", files)


def test_a_file_that_is_as_it_should_be_is_not_written_again(tmp_path: Path) -> None:
    put(tmp_path, made(a="1", b="2"))
    before = (tmp_path / "a.py").stat().st_ino
    put(tmp_path, made(a="1", b="3"))
    assert (tmp_path / "a.py").stat().st_ino == before
    assert content(tmp_path) == {"a.py": "1", "b.py": "3"}


def test_files_of_ours_that_are_no_longer_made_go_with_their_directories_and_others_stay(
    tmp_path: Path,
) -> None:
    put(tmp_path, made(a="1", gone="2", old__deep__x="3"))
    (tmp_path / "mine.py").write_text("x = 1\n")
    (tmp_path / "old" / "deep" / "__pycache__").mkdir()
    (tmp_path / "old" / "deep" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"")
    changes = compare(tmp_path, made(a="1"))
    assert changes.stale == ("gone.py", "old/deep/x.py")
    put(tmp_path, made(a="1"))
    assert content(tmp_path) == {"a.py": "1", "mine.py": "x = 1\n"}
    assert not (tmp_path / "old").exists()


def test_what_somebody_else_wrote_is_not_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match=r"a\.py in .* was not written by wirelane generate"):
        put(tmp_path, made(a="1", b="2"))
    assert content(tmp_path) == {"a.py": "x = 1\n"}
    put(tmp_path, made(a="1", b="2"), force=True)
    assert content(tmp_path) == {"a.py": "1", "b.py": "2"}


def test_an_empty_file_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("\n")
    put(tmp_path, [GeneratedFile("__init__.py", f"{HEADER}\nx = 1")])
    assert content(tmp_path) == {"__init__.py": "x = 1"}


def test_a_package_that_is_there_is_enough_where_ours_would_be_empty(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text('"""Mine."""\n')
    (tmp_path / "py.typed").write_text("partial\n")
    files = [GeneratedFile("__init__.py", f"{HEADER}\n# Source: a.proto\n"), GeneratedFile("py.typed", "")]
    assert not compare(tmp_path, files)


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    put(tmp_path, made(a="1"))
    before = content(tmp_path)

    def fail(done: int, all_: int) -> None:
        if done == 2:
            raise OSError("disk full")

    files = made(a="2", b__c="3", d="4")
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, files, compare(tmp_path, files), progress=fail)
    assert content(tmp_path) == before
    assert not (tmp_path / "b").exists()


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is no directory"):
        compare(tmp_path / "out", made(a="1"))
    with pytest.raises(UsageError, match="out is no directory"):
        compare(tmp_path / "out" / "further" / "down", made(a="1"))


def test_the_tree_of_another_command_below_stays(tmp_path: Path) -> None:
    inner = [*made(a="1", b__c="2"), GeneratedFile("py.typed", "")]
    put(tmp_path / "inner", inner)
    put(tmp_path, [*made(a="1", old="2"), GeneratedFile("py.typed", "")])
    outer = [*made(a="1"), GeneratedFile("py.typed", "")]
    assert compare(tmp_path, outer).stale == ("old.py",)
    put(tmp_path, outer)
    assert not compare(tmp_path / "inner", inner)
    assert not compare(tmp_path, outer)


@pytest.mark.parametrize("place", ["a.py/is/a/directory", "b"])
def test_what_cannot_be_replaced_is_told_also_with_force(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("somebody's")
    before = content(tmp_path)
    with pytest.raises(UsageError, match=r"(a\.py|b) is in the way of .*(a|c)\.py; move it"):
        put(tmp_path, made(a="1", b__c="2"), force=True)
    assert content(tmp_path) == before
