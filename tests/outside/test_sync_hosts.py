"""`wirelane.sync` inside programs that have loops and threads of their own: a notebook's kernel, gevent."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from support.client_support import SERVICE
from support.sync_support import blocking_server

ONE = f"{SERVICE}/One"
BEGIN = f"""
from support.client_support import note_schema
from wirelane.sync import grpc
channel = grpc.connect(ADDRESS, schema=note_schema())
print(channel.unary("{ONE}", {{"n": 7}})["n"])
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with blocking_server() as (address, _):
        yield address


@pytest.fixture
def pythonpath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.mark.filterwarnings("ignore")  # the client of the kernel leaves sockets and loops behind
@pytest.mark.usefixtures("pythonpath")
def test_cells_of_a_notebook_may_block_or_await(address: str) -> None:
    """Although a kernel runs its cells inside an event loop."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:

        def cell(text: str) -> str:
            parts: list[str] = []

            def output(message: dict[str, dict[str, str]]) -> None:
                content = message["content"]
                parts.append(content.get("text", "") + content.get("evalue", ""))

            client.execute_interactive(text, timeout=50, output_hook=output)
            return "".join(parts)

        assert cell(BEGIN.replace("ADDRESS", repr(address))) == "7\n"
        assert (
            cell(
                f"""
                import wirelane
                async with wirelane.grpc.connect({address!r}, schema=note_schema()) as other:
                    print((await other.unary("{ONE}", {{"n": 8}}))["n"])
                print(channel.unary("{ONE}", {{"n": 9}})["n"])
                """
            )
            == "8\n9\n"
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.usefixtures("pythonpath")
def test_gevent_is_told_what_to_do(address: str) -> None:
    """Where it has patched threads; the error names the two ways out."""
    done = _python(
        "from gevent import monkey\nmonkey.patch_all()\n" + BEGIN.replace("ADDRESS", repr(address))
    )
    assert "UsageError: gevent has patched threads" in done.stderr
    assert "patch_all(thread=False)" in done.stderr


@pytest.mark.usefixtures("pythonpath")
def test_gevent_with_real_threads_works(address: str) -> None:
    """The ways that the error names are ways."""
    begin = BEGIN.replace("ADDRESS", repr(address))
    done = _python("from gevent import monkey\nmonkey.patch_all(thread=False)\n" + begin)
    assert (done.stdout, done.returncode) == ("7\n", 0), done.stderr
