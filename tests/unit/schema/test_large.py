"""Schemas of hundreds of files, with the limits as they are."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from wirelane import LimitExceeded, Limits, Schema

FILES = 500
MESSAGES = 8
GOOGLEAPIS = Path(sysconfig.get_path("purelib"))


def write_tree(root: Path) -> None:
    """Write 500 files in 50 packages; each imports the one before it, and one that all import."""
    (root / "base").mkdir(parents=True)
    (root / "base" / "money.proto").write_text(
        'syntax = "proto3"; package base; message Money { int64 units = 1; string currency = 2; }'
    )
    for number in range(FILES - 1):
        directory = root / f"p{number // 10}"
        directory.mkdir(exist_ok=True)
        before = f'import "p{(number - 1) // 10}/f{number - 1}.proto";' if number else ""
        link = f"p{(number - 1) // 10}.F{number - 1}M0 before = 4;" if number else ""
        messages = "\n".join(
            f"message F{number}M{m} {{ int32 a = 1; map<string, base.Money> b = 2; repeated string c = 3; {link} }}"
            for m in range(MESSAGES)
        )
        (directory / f"f{number}.proto").write_text(
            f'syntax = "proto3";\npackage p{number // 10};\nimport "base/money.proto";\n{before}\n{messages}\n'
            f"service S{number} {{\n// Number {number}.\nrpc Get(F{number}M0) returns (F{number}M1); }}\n"
        )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    write_tree(root)
    return root


def test_a_tree_of_500_files_loads_and_every_method_works(tree: Path) -> None:
    schema = Schema.load(tree)
    assert len(schema.files()) == FILES
    assert len(schema.services()) == FILES - 1
    for number in range(0, FILES - 1, 50):
        info = schema.find_method(f"p{number // 10}.S{number}/Get")
        assert info.comment == f"Number {number}."
        value = {"a": number, "b": {"x": {"units": 5, "currency": "EUR"}}, "c": ["y"]}
        if number:
            value["before"] = {"a": 1, "b": {}, "c": []}
        assert schema.decode(info.input_type, schema.encode(info.input_type, value)) == value
    last = schema.proto_text(f"p{(FILES - 2) // 10}/f{FILES - 2}.proto")
    assert f"service S{FILES - 2} {{" in last
    assert Schema.from_set(schema.to_set()).services() == schema.services()


def test_a_limit_of_files_names_itself(tree: Path) -> None:
    with pytest.raises(LimitExceeded, match="max_schema_files=499"):
        Schema.load(tree, limits=Limits(max_schema_files=FILES - 1), cache=False)


def test_all_of_googleapis_common_protos_loads_from_its_directory() -> None:
    names = {path.relative_to(GOOGLEAPIS).as_posix() for path in (GOOGLEAPIS / "google").rglob("*.proto")}
    assert len(names) >= 60
    schema = Schema.load(GOOGLEAPIS / "google")  # the root of its imports is found above
    assert set(schema.files()) >= names
    assert "google.longrunning.Operations" in schema.services()
    for service in schema.services():
        for info in schema.methods(service):
            schema.encode(info.input_type, schema.template(info.input_type))
            assert schema.describe(info.full_name).to_dict()["name"] == info.name
