"""grpcurl: does the command line that everybody has find our services by reflection, and call them, of whatever kind?"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from judges.processes import Certificates, Finished, python, run, serving
from judges.report import Report

__all__ = ["CASES", "judge"]

SERVER = "tests/conformance/reflected.py"
_SECONDS = 30.0


@dataclass(frozen=True)
class Case:
    """What grpcurl is asked, and whether its answer is the right one. "ADDRESS" and "DIRECTORY" are filled in."""

    name: str
    arguments: Sequence[str]
    right: Callable[[Finished], bool]


def _says(*texts: str) -> Callable[[Finished], bool]:
    return lambda done: done.status == 0 and all(text in " ".join(done.words.split()) for text in texts)


def _answers(*messages: object) -> Callable[[Finished], bool]:
    def right(done: Finished) -> bool:
        if done.status:
            return False
        decoder, text, found = json.JSONDecoder(), done.words.strip(), []
        while text:
            value, end = decoder.raw_decode(text)
            found.append(value)
            text = text[end:].strip()
        return found == list(messages)

    return right


def _fails(code: int, *texts: str) -> Callable[[Finished], bool]:
    return lambda done: done.status == code and all(re.search(text, done.words) for text in texts)


ORDER = '{"id": "1", "price": {"units": 5}}'
CASES = (
    Case("list", ("ADDRESS", "list"), _says("grpc.health.v1.Health", "other.Echo", "python.v1.Counter", "shop.Shop")),
    Case("list a service", ("ADDRESS", "list", "shop.Shop"), _says("shop.Shop.Buy shop.Shop.Haggle shop.Shop.Total")),
    Case("describe a service", ("ADDRESS", "describe", "shop.Shop"), _says("rpc Watch ( .shop.Order ) returns ( stream .shop.Order );")),
    Case("describe a method", ("ADDRESS", "describe", "python.v1.Counter.Count"), _says("rpc Count ( .python.v1.Question ) returns ( .python.v1.Answer );")),
    Case("describe a message", ("ADDRESS", "describe", "shop.Order"), _says("required string id = 1; optional .shop.Money price = 2; extensions 100 to 199;")),
    Case("describe an extension", ("ADDRESS", "describe", "shop.wrapping"), _says("extend .shop.Order { optional string wrapping = 101; }")),
    Case("a template", ("-msg-template", "ADDRESS", "describe", "other.Word"), _says('"text": ""')),
    Case("describe what is not there", ("ADDRESS", "describe", "no.Such"), _fails(1, "not found|Symbol")),
    Case("unary", ("-d", ORDER, "ADDRESS", "shop.Shop/Buy"), _answers({"id": "1", "price": {"units": "5"}})),
    Case("unary with an extension", ("-d", '{"id": "1", "[shop.wrapping]": "red"}', "ADDRESS", "shop.Shop/Buy"), _answers({"id": "1", "[shop.wrapping]": "red"})),
    Case("server stream", ("-d", '{"id": "a"}', "ADDRESS", "shop.Shop/Watch"), _answers({"id": "a-0"}, {"id": "a-1"}, {"id": "a-2"})),
    Case("client stream", ("-d", ORDER * 3, "ADDRESS", "shop.Shop/Total"), _answers({"units": "15"})),
    Case("bidi stream", ("-d", ORDER * 2, "ADDRESS", "shop.Shop/Haggle"), _answers({"units": "4"}, {"units": "4"})),
    Case("a service of classes", ("-d", '{"text": "x"}', "ADDRESS", "other.Echo/Say"), _answers({"text": "x"})),
    Case("a service in Python", ("-d", '{"text": "four"}', "ADDRESS", "python.v1.Counter/Count"), _answers({"length": "4"})),
    Case("health", ("ADDRESS", "grpc.health.v1.Health/Check"), _answers({"status": "SERVING"})),
    Case("a failure with details", ("-d", '{"id": "gone"}', "ADDRESS", "shop.Shop/Buy"), _fails(64 + 5, "Code: NotFound", "no such thing", r'"what": *"sold"', r'"reason": *"GONE"')),
    Case("files for others", ("-protoset-out", "DIRECTORY/set", "ADDRESS", "describe", "shop.Shop"), _says("service Shop")),
    Case("sources for others", ("-proto-out-dir", "DIRECTORY/out", "ADDRESS", "describe", "other.Echo"), _says("service Echo")),
    Case("what was written", ("-protoset", "DIRECTORY/set", "-d", ORDER, "ADDRESS", "shop.Shop/Buy"), _answers({"id": "1", "price": {"units": "5"}})),
    Case("sources that were written", ("-import-path", "DIRECTORY/out", "-proto", "other.proto", "-d", '{"text": "x"}', "ADDRESS", "other.Echo/Say"), _answers({"text": "x"})),
)  # fmt: skip


def judge(grpcurl: Path, certificates: Certificates, report: Report) -> None:
    """Run every case in cleartext and over TLS."""
    tls = ["--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key)]
    for title, ours, flags in (
        ("cleartext", [], ["-plaintext"]),
        ("TLS", tls, ["-cacert", str(certificates.ca), "-servername", "localhost"]),
    ):
        with (
            tempfile.TemporaryDirectory() as directory,
            serving(python(SERVER, *ours), r"listening on port (\d+)", drains=True) as port,
        ):
            failures = [words for case in CASES if (words := _failure(case, grpcurl, flags, port, directory))]
        passed = len(CASES) - len(failures)
        report.group("grpcurl", title, passed=passed, failed=len(failures), words="\n".join(failures))


def _failure(case: Case, grpcurl: Path, flags: list[str], port: int, directory: str) -> str:
    filled = [
        argument.replace("ADDRESS", f"127.0.0.1:{port}").replace("DIRECTORY", directory)
        for argument in case.arguments
    ]
    done = run([str(grpcurl), *flags, *filled], seconds=_SECONDS)
    return "" if case.right(done) else f"{case.name}: exit status {done.status}\n{done.words}"
