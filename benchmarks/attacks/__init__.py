"""Attacks on a server: what each sends, what it should get, and what it costs the server.

`rows` holds the attacks, `attacker` the peer that says whatever it is told, `victim` the server, a process of its own that
watches its own loop, and `assault` brings the three together with a bystander: grpc.aio on another connection.
`python -m benchmarks.attacks` prints what was measured; tests/adversity asserts what must hold on any machine.
"""
