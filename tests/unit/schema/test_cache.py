"""Compiled schemas are found again, and only sound ones."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.schema_support import ORDERS, message
from wirelane.errors import SchemaError
from wirelane.schema import cache as caches
from wirelane.schema import load
from wirelane.schema.cache import SchemaCache, cache_directory, content_key


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own place on disk, and nothing in memory."""
    monkeypatch.setenv("WIRELANE_CACHE_DIR", str(tmp_path / "cache"))
    caches.shared.forget()
    return tmp_path / "cache" / "schema"


def entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def test_a_second_load_compiles_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(ORDERS)
    assert len(entries(directory)) == 1
    monkeypatch.setattr("wirelane.schema.sources.compile_files", None)  # would fail if it were called
    assert load(ORDERS) == first
    caches.shared.forget()
    assert load(ORDERS) == first  # from disk
    with pytest.raises(TypeError):
        load(message("Other"))


def test_another_process_finds_it(directory: Path) -> None:
    program = (
        "import sys; from wirelane.schema import load, sources; sources.compile_files = None;"
        "sys.stdout.write(str(len(load(sys.argv[1]).data)))"
    )
    data = load(ORDERS).data
    done = subprocess.run([sys.executable, "-c", program, ORDERS], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(data)


def test_everything_that_matters_is_in_the_key(directory: Path) -> None:
    load({"a.proto": message("A")})
    load({"b.proto": message("A")})
    load({"a.proto": message("B")})
    load({"a.proto": message("A"), "b.proto": message("B")})
    load({"a.proto": message("A", "b.proto"), "b.proto": message("B")})
    load([load({"s.proto": message("S")}).data, "message A {}"])
    assert len(entries(directory)) == 7


def test_a_changed_import_is_noticed(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text(message("A", "b.proto"))
    (tmp_path / "b.proto").write_text(message("B"))
    first = load(tmp_path / "a.proto").data
    (tmp_path / "b.proto").write_text(message("Changed"))
    assert load(tmp_path / "a.proto").data != first


def test_parts_are_told_apart() -> None:
    assert content_key([b"ab", b"c"]) != content_key([b"a", b"bc"])


def test_cache_false_reads_and_writes_nothing(directory: Path) -> None:
    load(ORDERS, cache=False)
    assert not directory.exists()


def test_failures_are_not_kept(directory: Path) -> None:
    with pytest.raises(SchemaError):
        load("message {")
    assert not directory.exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "a directory"])
def test_a_broken_entry_is_compiled_anew(directory: Path, damage: str) -> None:
    first = load(ORDERS)
    (entry,) = entries(directory)
    content = entry.read_bytes()
    entry.unlink()
    if damage == "a directory":
        entry.mkdir()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        broken = {"truncated": content[:-1], "flipped": flipped, "empty": b"", "foreign": b"x" * len(content)}
        entry.write_bytes(broken[damage])
    caches.shared.forget()
    assert load(ORDERS) == first
    if damage != "a directory":
        assert entry.read_bytes() == content


def test_it_is_private(directory: Path) -> None:
    load(ORDERS)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(entries(directory)[0].stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_can_write_to_is_not_used(
    directory: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    directory.mkdir(parents=True)
    directory.chmod(mode)
    with caplog.at_level(logging.DEBUG, logger="wirelane"):
        load(ORDERS)
    assert entries(directory) == []
    assert "not ours alone" in caplog.text


def test_a_place_that_cannot_be_used_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WIRELANE_CACHE_DIR", str(tmp_path / "file"))
    caches.shared.forget()
    with caplog.at_level(logging.DEBUG, logger="wirelane"):
        assert load(ORDERS).data
    assert "no schema cache" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_a_link_in_place_of_the_directory_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "schema").symlink_to(tmp_path / "elsewhere")
    monkeypatch.setenv("WIRELANE_CACHE_DIR", str(tmp_path / "cache"))
    SchemaCache().put("k", b"data")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WIRELANE_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "wirelane" / "schema"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "wirelane" / "schema"


def test_the_least_recently_used_go_first(directory: Path) -> None:
    cache = SchemaCache(most_entries=3, most_in_memory=0)
    for at, key in enumerate("abc"):
        cache.put(key, b"x")
        os.utime(directory / f"{key}.fds", (at, at))
    assert cache.get("a") == b"x"  # makes it the latest
    cache.put("d", b"x")
    assert [cache.get(key) is not None for key in "abcd"] == [True, False, True, True]


def test_bytes_are_bounded_on_disk_and_in_memory(directory: Path) -> None:
    cache = SchemaCache(most_bytes=10_000, most_in_memory=5000)
    for at in range(10):
        cache.put(f"k{at}", bytes(3000))
    assert sum(path.stat().st_size for path in entries(directory)) <= 10_000
    assert "1 in memory (3000 bytes)" in repr(cache)
    cache.put("huge", bytes(20_000))
    assert not (directory / "huge.fds").exists()


def test_files_of_dead_processes_are_cleared_away(directory: Path) -> None:
    directory.mkdir(parents=True, mode=0o700)
    old, young = directory / ".old.tmp", directory / ".young.tmp"
    old.write_text("")
    young.write_text("")
    os.utime(old, (0, 0))
    SchemaCache().put("k", b"x")
    assert not old.exists()
    assert young.exists()


def test_threads_may_share_it(directory: Path) -> None:
    cache = SchemaCache(most_entries=4, most_in_memory=100)
    wrong: list[bytes] = []

    def work(seed: int) -> None:
        for at in range(60):
            key = f"k{(seed + at) % 8}"
            cache.put(key, key.encode() * 20)
            found = cache.get(key)
            if found is not None and found != key.encode() * 20:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(entries(directory)) <= 8
