"""The grpcio client of test_rolling_restart: `rolling_grpcio.py TARGET WORKERS [CA]`; what it prints says rolling/main.go."""

from __future__ import annotations

import sys
import threading

import grpc


class Report:
    """What became of the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._seen: set[bytes] = set()
        self._lock = threading.Lock()

    def add(self, name: bytes) -> None:
        with self._lock:
            self.calls += 1
            if name not in self._seen:
                self._seen.add(name)
                print("server", name.decode(), flush=True)


def work(channel: grpc.Channel, stream: bool, done: threading.Event, report: Report) -> None:
    one = channel.unary_unary("/test.Rolling/One")
    down = channel.unary_stream("/test.Rolling/Down")
    while not done.is_set():
        try:
            report.add(list(down(bytes(2000)))[-1] if stream else one(bytes(2000)))
        except grpc.RpcError as error:
            print("failure", repr(str(error)), flush=True)
            return


def main() -> None:
    target, workers, *authority = sys.argv[1:]
    if authority:
        with open(authority[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(target, credentials)
    else:
        channel = grpc.insecure_channel(target)
    report, done = Report(), threading.Event()
    with channel:
        threads = [
            threading.Thread(target=work, args=(channel, bool(number % 2), done, report))
            for number in range(int(workers))
        ]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        done.set()
        for thread in threads:
            thread.join()
    print("calls", report.calls)


main()
