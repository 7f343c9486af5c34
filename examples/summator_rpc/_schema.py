# Written by wirelane generate; do not edit.
# Source: summator.proto

from __future__ import annotations

from wirelane.codec import EmbeddedSchema

schema = EmbeddedSchema(
    {
        "summator.proto": (
            "Cg5zdW1tYXRvci5wcm90byI8CgpTdW1SZXF1ZXN0EhYKBnZhbHVlMRgBIAEoAlIGdmFsdWUxEhYK"
            "BnZhbHVlMhgCIAEoAlIGdmFsdWUyIiAKCFN1bVJlcGx5EhQKBXZhbHVlGAEgASgCUgV2YWx1ZTIp"
            "CghTdW1tYXRvchIdCgNzdW0SCy5TdW1SZXF1ZXN0GgkuU3VtUmVwbHlKdQpKCgEMEgMBABIaQCBU"
            "aGUgc21hbGxlc3Qgc2VydmljZSB0aGF0IGRvZXMgc29tZXRoaW5nOiBpdCBhZGRzIHR3byBudW1i"
            "ZXJzLgoKJwoEBgACABIDBQIpGhogQW5zd2VycyB2YWx1ZTEgKyB2YWx1ZTIuCmIGcHJvdG8z"
        ),
    }
)
