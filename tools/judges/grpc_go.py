"""grpc-go's interoperability programs, both ways, in cleartext and over TLS.

Theirs know the 14 core cases and the 2 that soak. They have neither the 4 cases of compression nor flags for client
certificates: those are judged against grpcio in tests/interop, and by the conformance suite. Their server also judges the
PINGs by which our client measures how large its windows should be: its patience is that of any gRPC server (gRFC A8).
"""

from __future__ import annotations

from pathlib import Path

from judges.processes import Certificates, python, run, serving
from judges.report import Report

__all__ = ["CASES", "judge"]

CASES = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "custom_metadata", "status_code_and_message", "special_status_message", "unimplemented_method",
    "unimplemented_service", "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server",
    "rpc_soak", "channel_soak",
)  # fmt: skip
_PROGRAM = "-m", "wirelane.testing.interop"
_DOWNLOAD = ("tools/judges/download.py",)
_NAME = "grpc-go interop"
_OVERALL = 500  # seconds for all the calls of a soak


def judge(client: Path, server: Path, certificates: Certificates, report: Report, *, iterations: int) -> None:
    """Run every case each way over both; the soak cases make so many iterations."""
    tls = [f"--tls_cert_file={certificates.cert}", f"--tls_key_file={certificates.key}"]
    trust = [f"--ca_file={certificates.ca}", "--use_test_ca=true", "--server_host_override=localhost"]
    # Ten times what is allowed to a soak by default: this machine may have other work, too.
    soak = [
        f"--soak_iterations={iterations}",
        "--soak_per_iteration_max_acceptable_latency_ms=10000",
        f"--soak_overall_timeout_seconds={_OVERALL}",
    ]
    for title, secure in (("cleartext", False), ("TLS", True)):
        use = [f"--use_tls={str(secure).lower()}"]
        ours = python(*_PROGRAM, "server", "--port=0", *use, *(tls if secure else []))
        theirs = [str(server), "--port=0", *use, *(tls if secure else [])]
        flags = ["--server_host=127.0.0.1", *use, *(trust if secure else []), *soak]
        with serving(ours, r"listening on port (\d+)", drains=True) as port:
            _report(report, f"their client, our server, {title}", _each([str(client), *flags], port))
        with serving(theirs, r"interop server listening on \S+:(\d+)", drains=False) as port:
            command = python(*_PROGRAM, "client", *flags)
            _report(report, f"our client, their server, {title}", _each(command, port))
            done = run([*python(*_DOWNLOAD), *flags, f"--server_port={port}"], seconds=120)
            group = f"our client's pings, their server, {title}"
            report.group(_NAME, group, passed=not done.status, failed=bool(done.status), words=done.words)


def _each(client: list[str], port: int) -> dict[str, str]:
    """Run the client once for each case; what it said of those that failed."""
    failures = {}
    for case in CASES:
        done = run([*client, f"--server_port={port}", f"--test_case={case}"], seconds=_OVERALL + 60)
        if done.status:
            failures[case] = f"{case}: exit status {done.status}\n{done.words}"
    return failures


def _report(report: Report, group: str, failures: dict[str, str]) -> None:
    words = "\n".join(failures.values())
    report.group(_NAME, group, passed=len(CASES) - len(failures), failed=len(failures), words=words)
