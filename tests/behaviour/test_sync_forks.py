"""Servers without `await` in processes that fork: os.fork, multiprocessing in all its ways, subprocess; and how the children end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMON = '''
import multiprocessing, os, signal, subprocess, sys, threading
from wirelane.sync import grpc, tcp

echoes = grpc.Service("tests.Echoes")


@echoes.method
def echo(text: str) -> str:
    return f"{text} from {os.getpid()}"


server = grpc.Server([echoes])
lines = tcp.Server(lambda connection: connection.send_line(connection.read_line()), threads=2)


def use():
    """A call and an exchange of lines, each with a server of this process."""
    with server.listen("127.0.0.1:0") as at, grpc.connect(str(at.address)) as channel:
        assert echoes.stub(channel).echo("hi", timeout=20) == f"hi from {os.getpid()}"
    with lines.listen("127.0.0.1:0") as at:
        assert tcp.request(str(at.address), "hi\\n", timeout=20) == b"hi\\n"


def ask(address):
    """Call a server, perhaps of another process, that listens soon."""
    with grpc.Channel(address) as channel:
        return echoes.stub(channel).echo("hi", timeout=20, wait_for_ready=True)


def ended(child):
    """How a child ended; it has some seconds for it."""
    threading.Timer(20, os.kill, (child, signal.SIGABRT)).start()
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    os._exit(0)
'''


def run(directory: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script, which is a file: children that are spawned import it."""
    file = directory / "forking.py"
    file.write_text(COMMON + script)
    return subprocess.run(
        [sys.executable, str(file), *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        # Python 3.12 and later warn of forks beside threads, which is what is tested here.
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONWARNINGS": "ignore::DeprecationWarning",
        },
    )


def test_servers_made_before_a_fork_serve_in_the_child(tmp_path: Path) -> None:
    """With the handlers they were given, and with threads of the child's; the parent's serve on."""
    done = run(
        tmp_path,
        """
use()
other = grpc.Server([echoes])
with other.listen("127.0.0.1:0") as at:
    child = os.fork()
    if child == 0:
        use()
        print("child", flush=True)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(str(at.address)) == f"hi from {os.getpid()}"
    use()
print("parent")
""",
    )
    assert (done.stdout, done.stderr) == ("child\nparent\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_serves_until_it_is_told_to_stop(tmp_path: Path, method: str) -> None:
    """However it is started, and whatever its parent did before; SIGTERM drains, and its exit code is 0."""
    done = run(
        tmp_path,
        """
def serve(address):
    server.serve(address)
    print("drained", flush=True)


if __name__ == "__main__":
    use()
    context = multiprocessing.get_context(sys.argv[1])
    address = f"unix:{sys.argv[2]}"
    child = context.Process(target=serve, args=(address,))
    child.start()
    assert ask(address) == f"hi from {child.pid}"
    child.terminate()
    child.join(20)
    print(child.exitcode)
    use()
""",
        method,
        str(tmp_path / "socket"),
    )
    assert (done.stdout, done.stderr) == ("drained\n0\n", "")


def test_a_subprocess_with_a_preexec_function_disturbs_nobody(tmp_path: Path) -> None:
    """It forks and runs Python, in the middle of calls of other threads; these and their server go on."""
    done = run(
        tmp_path,
        """
with server.listen("127.0.0.1:0") as at, grpc.connect(str(at.address)) as channel:
    stub, over, calls = echoes.stub(channel), threading.Event(), []

    def keep_calling():
        while not over.is_set():
            calls.append(stub.echo("hi", timeout=20))

    threads = [threading.Thread(target=keep_calling) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        made = subprocess.run(
            [sys.executable, "-S", "-c", f"print({number})"], preexec_fn=os.setsid, capture_output=True, timeout=20
        )
        assert made.stdout == b"%d\\n" % number, made
    before = len(calls)
    while len(calls) < before + 20:
        threading.Event().wait(0.01)
    over.set()
    for thread in threads:
        thread.join()
    assert set(calls) == {f"hi from {os.getpid()}"}
    print("done")
""",
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


DOINGS = {
    "nothing": "",
    "calls": "use()",
    "serves": "at = server.listen('127.0.0.1:0')",
    "goes on with a channel": "channel.connect()",
    "has a handler that waits": """
at = lines.listen("127.0.0.1:0")
connection = tcp.connect(str(at.address))
while not at.connections:
    threading.Event().wait(0.001)
""",
    # Its threads come to lie where those of the parent were.
    "has threads that never end": """
for _ in range(8):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
""",
}


@pytest.mark.parametrize("doing", DOINGS)
def test_a_child_that_ends_by_an_exception_ends(tmp_path: Path, doing: str) -> None:
    """With its traceback and exit code 1, whatever parent and child have open, and nothing is waited for that only the parent has."""
    begin = """
use()
at = server.listen("127.0.0.1:0")
channel = grpc.connect(str(at.address))
echoes.stub(channel).echo("hi")
child = os.fork()
if child != 0:
    ended(child)
"""
    done = run(tmp_path, f"{begin}\n{DOINGS[doing]}\nraise LookupError('of the child')\n")
    assert done.stdout == "ended 1\n"
    assert done.stderr.startswith("Traceback"), done.stderr
    assert done.stderr.endswith("\nLookupError: of the child\n"), done.stderr
