"""`wirelane generate`, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.cli_support import environment, serving, wirelane
from support.codegen_support import PROTOS

SUMMATOR = str(PROTOS["demo"] / "summator.proto")
GREETER = str(PROTOS["demo"] / "greeter.proto")


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_a_package_is_written_that_can_be_imported(tmp_path: Path) -> None:
    out = tmp_path / "src" / "app" / "rpc"
    done = wirelane("generate", SUMMATOR, "--out", str(out))
    assert (done.code, done.out, done.err) == (0, "", f"{out}: 5 new\n")
    assert sorted(contents(out)) == ["__init__.py", "_schema.py", "message_pool.py", "py.typed", "sync.py"]
    code = "from app.rpc import SummatorStub, SumRequest; print(SumRequest(value1=5, value2=3), SummatorStub.sum.__doc__)"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path / "src",
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "SumRequest(value1=5, value2=3) Answers value1 + value2.\n"


def test_check_tells_what_differs_and_writes_nothing(tmp_path: Path) -> None:
    out = str(tmp_path / "rpc")
    check = ("generate", SUMMATOR, "--out", out, "--check")
    done = wirelane(*check)
    assert (done.code, len(done.out.splitlines())) == (1, 5)
    assert f"missing: {out}/__init__.py\n" in done.out
    assert not (tmp_path / "rpc").exists()

    assert wirelane("generate", SUMMATOR, "--out", out).code == 0
    assert (wirelane(*check).code, wirelane(*check).out) == (0, "")

    (tmp_path / "rpc" / "sync.py").unlink()
    (tmp_path / "rpc" / "_schema.py").write_text((tmp_path / "rpc" / "_schema.py").read_text() + "\n")
    (tmp_path / "rpc" / "old.py").write_text((tmp_path / "rpc" / "__init__.py").read_text())
    (tmp_path / "rpc" / "mine.py").write_text("x = 1\n")
    before = contents(tmp_path / "rpc")
    done = wirelane(*check)
    assert (done.code, done.out.splitlines()) == (
        1,
        [f"missing: {out}/sync.py", f"differs: {out}/_schema.py", f"stale: {out}/old.py"],
    )
    assert "1 new, 1 changed, 1 removed, 3 unchanged; run the same command without --check" in done.err
    assert contents(tmp_path / "rpc") == before


def test_what_is_no_longer_made_is_removed_and_nobody_elses_files_are_touched(tmp_path: Path) -> None:
    out = tmp_path / "rpc"
    assert wirelane("generate", str(PROTOS["demo"]), "--out", str(out)).code == 0
    (out / "wirelane" / "mine.py").write_text("x = 1\n")
    done = wirelane("generate", SUMMATOR, "--out", str(out), "-v")
    assert f"* removed {out}/wirelane/demo/__init__.py\n" in done.err
    assert sorted(contents(out)) == [
        "__init__.py", "_schema.py", "message_pool.py", "py.typed", "sync.py", "wirelane/mine.py",
    ]  # fmt: skip

    (out / "sync.py").write_text("x = 1\n")
    wirelane("generate", SUMMATOR, "--out", str(out)).failed(2, "sync.py in")
    assert (out / "sync.py").read_text() == "x = 1\n"
    done = wirelane("generate", SUMMATOR, "--out", str(out), "--check")
    assert (done.code, done.out) == (1, f"not ours: {out}/sync.py\n")
    assert wirelane("generate", SUMMATOR, "--out", str(out), "--force").code == 0
    assert wirelane("generate", SUMMATOR, "--out", str(out), "--check").code == 0


def test_a_dry_run_lists_and_writes_nothing(tmp_path: Path) -> None:
    done = wirelane(
        "generate", SUMMATOR, "--out", str(tmp_path / "rpc"), "--dry-run", "--no-sync", "--no-services"
    )
    names = ["__init__.py", "message_pool.py", "py.typed"]
    assert (done.code, done.out.splitlines()) == (0, [f"missing: {tmp_path}/rpc/{name}" for name in names])
    assert not (tmp_path / "rpc").exists()


@pytest.mark.parametrize("messages", ["betterproto2", "protobuf", "none"])
def test_the_same_files_give_the_same_octets_in_any_order_and_on_every_run(
    tmp_path: Path, messages: str
) -> None:
    sources = [str(path) for path in sorted(PROTOS["awkward"].glob("*.proto"))]
    orders = (sources, sources[::-1], [str(PROTOS["awkward"])])
    for number, order in enumerate(orders):
        done = wirelane(
            *("generate", *order, "--out", str(tmp_path / str(number)), "--messages", messages),
            env=environment(PYTHONHASHSEED=str(number), TZ=f"UTC+{number}", LC_ALL="C"),
        )
        assert done.code == 0, done.err
    first = contents(tmp_path / "0")
    assert len(first) > 8
    assert contents(tmp_path / "1") == first
    assert contents(tmp_path / "2") == first
    assert not [name for name, data in first.items() if str(tmp_path).encode() in data]


def test_a_descriptor_set_gives_what_its_sources_give(tmp_path: Path) -> None:
    from wirelane.schema import load

    (tmp_path / "demo.binpb").write_bytes(load(PROTOS["demo"]).data)
    for name, source in (
        ("files", [str(PROTOS["demo"])]),
        ("set", ["--protoset", str(tmp_path / "demo.binpb")]),
    ):
        assert wirelane("generate", *source, "--out", str(tmp_path / name)).code == 0
    assert contents(tmp_path / "set") == contents(tmp_path / "files")


def test_a_server_with_reflection_is_asked_for_its_services(tmp_path: Path) -> None:
    with serving() as served:
        done = wirelane("generate", served.grpc, "--out", str(tmp_path / "server"))
    assert done.code == 0, done.err
    assert wirelane("generate", str(PROTOS["demo"]), "--out", str(tmp_path / "files")).code == 0
    made, expected = contents(tmp_path / "server"), contents(tmp_path / "files")
    assert sorted(made) == sorted(expected)
    assert b"class SummatorStub:" in made["__init__.py"]
    assert b"class EverythingBase:" in made["wirelane/demo/__init__.py"]
    assert b"Health" not in b"".join(made.values())


def test_a_url_is_fetched(tmp_path: Path) -> None:
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    handler = functools.partial(Quiet, directory=str(PROTOS["demo"]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/summator.proto"
            done = wirelane("generate", url, "--out", str(tmp_path / "rpc"))
        finally:
            server.shutdown()
            thread.join()
    assert done.code == 0, done.err
    assert wirelane("generate", SUMMATOR, "--out", str(tmp_path / "rpc"), "--check").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "missing SOURCE"),
        (["localhost:1", "localhost:2"], 2, "one server at a time"),
        (["localhost:1", SUMMATOR], 2, "give one or the other"),
        ([SUMMATOR, "--check", "--dry-run"], 2, "give one of them"),
        ([SUMMATOR, "--messages", "none", "--no-services"], 2, "nothing to write"),
        ([SUMMATOR, "--reflection"], 2, "give its HOST:PORT"),
        (["nowhere.proto"], 2, "no such file"),
        (["127.0.0.1:1"], 1, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    wirelane("generate", *arguments, "--out", str(tmp_path / "rpc")).failed(code, text)
    assert not (tmp_path / "rpc").exists()


def test_betterproto_without_its_plugin_says_what_to_install(tmp_path: Path) -> None:
    wirelane("generate", SUMMATOR, "--out", str(tmp_path), "--messages", "betterproto").failed(
        2, "pip install 'betterproto[compiler]==2.0.0b7'"
    )


def test_the_help_shows_examples() -> None:
    done = wirelane("generate", "--help")
    assert done.code == 0
    assert "wirelane generate protos/ --out src/app/rpc --check" in done.out


def test_an_empty_directory_name_is_not_the_current_one() -> None:
    """As from a variable that was not set: nothing there is taken for what was written before."""
    wirelane("generate", SUMMATOR, "--out", "", "--dry-run").failed(2, "--out is empty")
