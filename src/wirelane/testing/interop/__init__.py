"""gRPC's interoperability tests: both programs, with the flags and exit status of the official ones.

    python -m wirelane.testing.interop server --port 10000 [--use_tls --tls_cert_file C --tls_key_file K]
    python -m wirelane.testing.interop client --server_host H --server_port P --test_case large_unary [--use_tls ...]

Flags are written as any of the official programs takes them: `--use_tls`, `-use_tls`, `--use_tls=true`,
`--use_tls true`. `--port 0` picks a free port; the server's first line on standard output is
`listening on port 12345`. SIGTERM and SIGINT drain it.

The client runs one case, several (`--test_case empty_unary,ping_pong`) or `all`, says on standard error how each went,
and exits with 0 (all passed), 1 (one failed, or there is no server) or 2 (wrong flags, no such case).

The cases are those of the official descriptions (grpc/grpc, doc/interop-test-descriptions.md) that need no cloud,
14 of the core, 4 of compression and 2 that soak, and `concurrent_large_unary`, which is described there and has no
code elsewhere. `--soak_iterations`, `--soak_max_failures` and their kind are those of grpc-go.
"""

from __future__ import annotations

__all__: list[str] = []
