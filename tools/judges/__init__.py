"""The programs by others that judge wirelane: fetched, run against it, counted. See docs/interop.md.

PYTHONPATH=tools python -m judges [--full] [h2spec] [grpc-go] [conformance]
"""
