"""h2spec: the rules of RFC 9113 and RFC 7541 for a server, case by case, in cleartext and over TLS."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from judges.processes import Certificates, python, run, serving
from judges.report import Report

__all__ = ["judge"]

SERVER = "tests/conformance/http_server.py"
CASES = {"generic": 44, "http2": 95, "hpack": 7}
"""What `h2spec --strict` has in this version: 146. A run of fewer is a failed one."""


def judge(h2spec: Path, certificates: Certificates, report: Report) -> None:
    """Run every case over both, and report on each of the three parts of h2spec."""
    tls = ["--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key)]
    for title, ours, theirs in (("cleartext", [], []), ("TLS", tls, ["-t", "-k"])):
        with (
            tempfile.TemporaryDirectory() as directory,
            serving(python(SERVER, *ours), r"listening on port (\d+)", drains=True) as port,
        ):
            junit = Path(directory) / "report.xml"
            # Only a case that fails waits so long.
            command = [str(h2spec), "--strict", "-o", "10", "-p", str(port), "-j", str(junit), *theirs]
            done = run(command, seconds=300)
            cases = _read(junit)
        for part, count in CASES.items():
            passed, skipped = cases[part, "passed"], cases[part, "skipped"]
            # What was not run at all, because the program broke off or has changed, has failed too.
            failed = count - passed - skipped
            words = done.words if failed or skipped else ""
            report.group(
                "h2spec --strict",
                f"{part}, {title}",
                passed=passed,
                failed=failed,
                skipped=skipped,
                words=words,
            )


def _read(junit: Path) -> Counter[tuple[str, str]]:
    """Count the cases of a report by part and result."""
    cases: Counter[tuple[str, str]] = Counter()
    if not junit.exists():
        return cases
    for suite in ElementTree.parse(junit).getroot():
        part = suite.get("package", "").partition("/")[0]
        total, skipped, *bad = (int(suite.get(key, 0)) for key in ("tests", "skipped", "failures", "errors"))
        cases[part, "passed"] += total - skipped - sum(bad)
        cases[part, "skipped"] += skipped
    return cases
