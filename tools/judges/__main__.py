"""Fetch the programs, run them, say what they found. Exit status 0: all is well, or there is no Go to build them with."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from judges import conformance, grpc_go, grpcurl, h2spec
from judges.processes import Certificates, Judgement
from judges.programs import InstallError, find_go, install, module_directory
from judges.report import Report

JUDGES = {
    "h2spec": ("h2spec",),
    "grpc-go": ("grpc-go-client", "grpc-go-server"),
    "grpcurl": ("grpcurl",),
    "conformance": ("connectconformance",),
}
"""The programs of each."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="judges", description="Let outside programs judge wirelane.")
    parser.add_argument("judge", nargs="*", help=f"of {', '.join(JUDGES)}; all of them without")
    parser.add_argument("--full", action="store_true", help="soak for longer")
    arguments = parser.parse_args()
    if unknown := set(arguments.judge) - set(JUDGES):
        parser.error(f"no judge is named {', '.join(sorted(unknown))}; there are {', '.join(JUDGES)}")
    go, version = find_go()
    if go is None:
        print(f"interop skipped: {version}; the outside programs are written in it")
        return 0
    report = Report()
    try:
        print(f"outside programs, built with {version}:", flush=True)
        with tempfile.TemporaryDirectory(prefix="wirelane-judges-") as directory:
            certificates = Certificates.issue(Path(directory))
            for name in arguments.judge or JUDGES:
                _judge(name, go, certificates, report, full=arguments.full)
    except (InstallError, Judgement) as error:
        print(f"interop failed: {error}", file=sys.stderr)
        return 1
    return report.finish()


def _judge(name: str, go: Path, certificates: Certificates, report: Report, *, full: bool) -> None:
    first, *more = (install(go, program) for program in JUDGES[name])
    report.start()
    if name == "h2spec":
        h2spec.judge(first, certificates, report)
    elif name == "grpc-go":
        grpc_go.judge(first, more[0], certificates, report, iterations=1000 if full else 10)
    elif name == "grpcurl":
        grpcurl.judge(first, certificates, report)
    else:
        conformance.judge(first, module_directory(go, "connectconformance"), report)


if __name__ == "__main__":
    sys.exit(main())
