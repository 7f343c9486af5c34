"""Everything that may name a schema, and what comes of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from support.schema_support import ORDERS, file_names, message, write_tree
from wirelane import protos
from wirelane.codec import Schema
from wirelane.core.limits import Limits
from wirelane.errors import LimitExceeded, SchemaError, UsageError
from wirelane.schema import Descriptors, load


def failure(source: object, **options: object) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        load(source, **options)  # type: ignore[arg-type]
    return caught.value


class TestForms:
    def test_text(self) -> None:
        loaded = load(ORDERS)
        assert loaded.origin == "text"
        assert file_names(loaded.data)[-1] == "main.proto"

    def test_text_on_one_line(self) -> None:
        assert file_names(load('syntax = "proto3"; message M {}').data) == ["main.proto"]

    def test_path_as_str_and_as_path(self, tmp_path: Path) -> None:
        path = write_tree(tmp_path, {"orders.proto": ORDERS}) / "orders.proto"
        assert load(str(path)) == load(path)
        assert load(path).origin == str(path)
        assert file_names(load(path).data)[-1] == "orders.proto"

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_tree(tmp_path, {"protos/a.proto": message("A", "b.proto"), "protos/b.proto": message("B")})
        monkeypatch.chdir(tmp_path)
        assert file_names(load("protos/a.proto").data) == ["b.proto", "a.proto"]
        monkeypatch.chdir(tmp_path / "protos")
        assert file_names(load("a.proto").data) == ["b.proto", "a.proto"]

    def test_directory(self, tmp_path: Path) -> None:
        files = {
            "a.proto": message("A", "sub/b.proto"),
            "sub/b.proto": message("B"),
            "sub/.hidden/c.proto": "broken{",
        }
        write_tree(tmp_path, files)
        assert sorted(file_names(load(tmp_path).data)) == ["a.proto", "sub/b.proto"]

    def test_mapping_in_any_order(self) -> None:
        files = {
            "z/last.proto": message("A", "b.proto"),
            "b.proto": message("B", "c/c.proto"),
            "c/c.proto": message("C"),
        }
        for names in (list(files), list(reversed(files))):
            loaded = load({name: files[name] for name in names})
            assert sorted(file_names(loaded.data)) == ["b.proto", "c/c.proto", "z/last.proto"]

    def test_mapping_of_every_form(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"x.txt": message("X"), "y.proto": message("Y"), "dir/d.proto": message("D")})
        (tmp_path / "set.bin").write_bytes(load({"fromset.proto": message("S")}).data)
        loaded = load(
            {
                "main.proto": message("M", "fromset.proto", "folder/d.proto", "grpc/health/v1/health.proto"),
                "path.proto": tmp_path / "x.txt",
                "str.proto": str(tmp_path / "y.proto"),
                "folder": tmp_path / "dir",
                "a set's name does not matter": tmp_path / "set.bin",
                "nor here": protos.descriptor_set("health"),
            }
        )
        found = {"main.proto", "path.proto", "str.proto", "folder/d.proto", "fromset.proto"}
        assert set(file_names(loaded.data)) == found | {"grpc/health/v1/health.proto"}

    def test_a_path_in_a_mapping_finds_imports_beside_it(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"x.proto": message("X", "near.proto"), "near.proto": message("N")})
        assert file_names(load({"other/name.proto": tmp_path / "x.proto"}).data) == [
            "near.proto",
            "other/name.proto",
        ]

    def test_descriptor_set_as_bytes_path_and_message(self, tmp_path: Path) -> None:
        data = load({"a.proto": message("A")}).data
        path = tmp_path / "a.protoset"
        path.write_bytes(data)
        assert load(data).data == data
        assert load(path).data == data
        parsed = descriptor_pb2.FileDescriptorSet.FromString(data)
        assert file_names(load(parsed).data) == ["a.proto"]

    def test_list_of_files_and_sets(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a.proto": message("A"), "b.proto": message("B", "s.proto")})
        sets = load({"s.proto": message("S")}).data, load({"t.proto": message("T")}).data
        loaded = load([tmp_path / "a.proto", str(tmp_path / "b.proto"), *sets])
        assert sorted(file_names(loaded.data)) == ["a.proto", "b.proto", "s.proto", "t.proto"]
        assert file_names(load(list(sets)).data) == ["s.proto", "t.proto"]

    def test_text_file_without_the_usual_suffix(self, tmp_path: Path) -> None:
        (tmp_path / "schema.txt").write_text(message("A"))
        assert file_names(load(tmp_path / "schema.txt").data) == ["main.proto"]

    def test_comments_come_along(self) -> None:
        assert Descriptors.from_set(load(ORDERS).data).methods("Orders")[0].comment == "Takes one."

    def test_byte_order_mark_is_no_mistake(self) -> None:
        assert file_names(load("\ufeff" + message("A")).data) == ["main.proto"]

    def test_well_known_imports_are_always_there(self) -> None:
        text = message(
            "A", "google/protobuf/timestamp.proto", "google/rpc/status.proto", "google/protobuf/any.proto"
        )
        assert "google/rpc/status.proto" in file_names(load(text).data)


class TestRefusals:
    def test_a_missing_path_says_so(self) -> None:
        assert str(failure("protos/nope.proto")) == 'no such file: "protos/nope.proto"'
        assert "no such file" in str(failure(Path("/nope/x.proto")))
        assert "nor in" in str(failure("nope.proto", import_paths=["/usr"]))

    def test_emptiness_says_so(self, tmp_path: Path) -> None:
        assert "empty" in str(failure(""))
        assert "empty" in str(failure("  \n "))
        assert "empty" in str(failure({}))
        assert "empty" in str(failure([]))
        assert "no .proto files" in str(failure(tmp_path))

    def test_bytes_that_are_no_set(self, tmp_path: Path) -> None:
        assert "no descriptor set" in str(failure(b"\xff\xff\xff"))
        assert "no descriptor set" in str(failure(message("A").encode()))
        assert "no descriptor set" in str(failure(b""))
        (tmp_path / "x.bin").write_bytes(b"\xff\xfe\0\0")
        assert "neither" in str(failure(tmp_path / "x.bin"))

    @pytest.mark.parametrize("source", [5, None, 1.5, {"a.proto": 5}, {5: "x"}, object(), [None]])
    def test_other_types_are_misuse(self, source: object) -> None:
        with pytest.raises(UsageError):
            load(source)  # type: ignore[arg-type]

    def test_reflection_needs_a_channel(self) -> None:
        with pytest.raises(UsageError, match="connect"):
            load("reflection")

    def test_an_import_path_that_is_no_directory(self) -> None:
        assert 'no such directory: "/nope"' in str(failure(ORDERS, import_paths=["/nope"]))

    @pytest.mark.parametrize(
        "name", ["../x.proto", "/x.proto", "C:\\x.proto", "a\\b.proto", "a\0.proto", "", "a/./b"]
    )
    def test_dangerous_names_are_refused_as_keys_and_imports(self, name: str) -> None:
        assert "import name" in str(failure({name: message("A")}))
        if "\0" not in name:
            error = failure({"ok.proto": message("A", name)})
            assert (error.file, error.line, error.column) == ("ok.proto", 3, 1)

    def test_a_file_that_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.proto")
        assert "no regular file" in str(failure(tmp_path / "pipe.proto"))
        os.mkfifo(tmp_path / "pipe.bin")
        assert "no regular file" in str(failure(tmp_path / "pipe.bin"))

    def test_names_that_cannot_both_be_files(self) -> None:
        assert "cannot both be files" in str(failure({"a": message("A"), "a/b.proto": message("B")}))

    def test_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "a.proto").write_bytes(message("A").encode() + b"// \xff\n")
        assert str(failure(tmp_path / "a.proto")).startswith("a.proto:4:4: byte 0xff is not UTF-8")


class TestImports:
    def test_import_paths_are_searched_in_order(self, tmp_path: Path) -> None:
        write_tree(
            tmp_path,
            {"one/x.proto": message("One"), "two/x.proto": message("Two"), "two/y.proto": message("Y")},
        )
        text = message("M", "x.proto", "y.proto")
        loaded = load(text, import_paths=[tmp_path / "one", str(tmp_path / "two")])
        assert {"One", "M", "Y"} <= set(Descriptors.from_set(loaded.data).symbols())
        assert "Two" in Descriptors.from_set(load(text, import_paths=[tmp_path / "two"]).data).symbols()

    def test_a_file_under_an_import_path_is_called_by_its_name_there(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"p/acme/a.proto": message("A", "acme/b.proto"), "p/acme/b.proto": message("B")})
        loaded = load(tmp_path / "p/acme/a.proto", import_paths=[tmp_path / "p"])
        assert file_names(loaded.data) == ["acme/b.proto", "acme/a.proto"]

    def test_so_is_a_directory_under_an_import_path(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"p/acme/a.proto": message("A", "acme/b.proto"), "p/acme/b.proto": message("B")})
        loaded = load(tmp_path / "p/acme", import_paths=tmp_path / "p")  # type: ignore[arg-type]
        assert sorted(file_names(loaded.data)) == ["acme/a.proto", "acme/b.proto"]

    def test_a_name_relative_to_an_import_path_will_do(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"p/acme/a.proto": message("A")})
        assert file_names(load("acme/a.proto", import_paths=[tmp_path / "p"]).data) == ["acme/a.proto"]

    def test_the_root_above_the_file_is_inferred(self, tmp_path: Path) -> None:
        write_tree(
            tmp_path,
            {"p/acme/v1/a.proto": message("A", "acme/v1/b.proto"), "p/acme/v1/b.proto": message("B")},
        )
        assert file_names(load(tmp_path / "p/acme/v1/a.proto").data) == ["acme/v1/b.proto", "acme/v1/a.proto"]

    def test_the_root_below_the_directory_is_inferred(self, tmp_path: Path) -> None:
        files = {"api/acme/a.proto": message("A", "acme/b.proto"), "api/acme/b.proto": message("B")}
        assert sorted(file_names(load(write_tree(tmp_path, files)).data)) == ["acme/a.proto", "acme/b.proto"]

    def test_no_root_is_inferred_above_the_top_of_the_project(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"project/.git/x": "", "project/p/a.proto": message("A", "other/b.proto")})
        write_tree(tmp_path, {"other/b.proto": message("B")})
        assert "other/b.proto" in str(failure(tmp_path / "project/p/a.proto"))

    def test_nothing_but_proto_files_is_found_by_inference(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"p/q/a.proto": message("A", "r/secret.txt"), "p/r/secret.txt": "password"})
        assert "secret.txt" in str(failure(tmp_path / "p/q/a.proto"))

    def test_one_file_by_two_names_is_one_file(self, tmp_path: Path) -> None:
        files = {
            "p/acme/a.proto": message("A", "acme/b.proto", "c.proto", package="x"),
            "p/acme/b.proto": message("B", "acme/c.proto", package="x"),
            "p/acme/c.proto": message("C", package="x"),
        }
        write_tree(tmp_path, files)
        loaded = load(tmp_path / "p/acme/a.proto", import_paths=[tmp_path / "p"])
        assert {"x.A", "x.B", "x.C"} <= set(Descriptors.from_set(loaded.data).symbols())

    def test_a_missing_import_is_told_with_who_and_where(self, tmp_path: Path) -> None:
        write_tree(
            tmp_path,
            {"orders.proto": message("A", "comon.proto", "other.proto"), "p/common.proto": message("C")},
        )
        error = failure(tmp_path / "orders.proto", import_paths=[tmp_path / "p"])
        assert (error.file, error.line, error.column) == ("orders.proto", 3, 1)
        assert str(error).startswith('orders.proto:3:1: import "comon.proto" was not found in ')
        assert str(tmp_path / "p") in str(error)
        assert error.problems[0][:3] == ("orders.proto", 4, 1)
        assert "other.proto" in error.problems[0][3]

    def test_a_missing_import_of_a_mapping_names_the_nearest(self) -> None:
        error = failure({"a.proto": message("A", "comon.proto"), "common.proto": message("C")})
        assert 'did you mean "common.proto"?' in str(error)

    def test_imports_are_never_fetched(self) -> None:
        assert "is absolute" in str(failure(message("A", "/etc/x.proto")))
        assert "empty part" in str(failure(message("A", "http://127.0.0.1:1/x.proto")))

    def test_a_cycle_is_shown(self) -> None:
        files = {
            "a.proto": message("A", "b.proto"),
            "b.proto": message("B", "c.proto"),
            "c.proto": message("C", "b.proto"),
        }
        error = failure(files)
        assert str(error) == "c.proto:3:1: import cycle: b.proto -> c.proto -> b.proto"

    def test_a_file_that_imports_itself(self) -> None:
        assert "import cycle: a.proto -> a.proto" in str(failure({"a.proto": message("A", "a.proto")}))

    def test_a_chain_of_a_thousand_imports(self) -> None:
        files = {f"f{n}.proto": message(f"M{n}", f"f{n + 1}.proto") for n in range(1000)}
        files["f1000.proto"] = message("Last")
        ordered = Descriptors.from_set(load(files, cache=False).data).files()
        assert ordered[0] == "f1000.proto"
        assert ordered[-1] == "f0.proto"


class TestLinks:
    def test_an_entry_that_leads_out_is_refused(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"out/secret.proto": message("S"), "in/x": ""})
        (tmp_path / "in/a.proto").symlink_to(tmp_path / "out/secret.proto")
        assert "symbolic link" in str(failure(tmp_path / "in/a.proto"))
        assert "symbolic link" in str(failure(tmp_path / "in"))
        assert "symbolic link" in str(failure({"k.proto": tmp_path / "in/a.proto"}))

    def test_an_import_that_leads_out_is_refused_however_far_away(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"out/s.proto": message("S"), "in/a.proto": message("A", "b.proto")})
        write_tree(tmp_path, {"in/b.proto": message("B", "sub/s.proto")})
        (tmp_path / "in/sub").symlink_to(tmp_path / "out")
        error = failure(tmp_path / "in/a.proto")
        assert error.file == "sub/s.proto"
        assert "leads out" in str(error)

    def test_links_within_the_roots_are_followed(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a.proto": message("A", "link.proto"), "real/b.proto": message("B")})
        (tmp_path / "link.proto").symlink_to("real/b.proto")
        assert set(file_names(load(tmp_path / "a.proto").data)) == {"link.proto", "a.proto"}
        assert "B" in Descriptors.from_set(load(tmp_path).data).symbols()

    def test_a_root_may_be_reached_through_a_link(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"real/a.proto": message("A", "b.proto"), "real/b.proto": message("B")})
        (tmp_path / "link").symlink_to("real")
        assert file_names(load(tmp_path / "link/a.proto").data) == ["b.proto", "a.proto"]
        assert sorted(file_names(load(tmp_path / "link").data)) == ["a.proto", "b.proto"]


class TestLimits:
    def test_one_file_is_refused_before_it_is_read(self, tmp_path: Path) -> None:
        with (tmp_path / "huge.proto").open("wb") as file:
            file.truncate(1 << 40)  # sparse: reading it would take all memory
        with pytest.raises(LimitExceeded, match="max_schema_bytes") as caught:
            load(tmp_path / "huge.proto")
        assert caught.value.limit == "max_schema_bytes"
        (tmp_path / "huge.proto").rename(tmp_path / "huge.bin")
        with pytest.raises(LimitExceeded):
            load(tmp_path / "huge.bin")

    def test_all_files_together(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {f"f{n}.proto": message(f"M{n}") for n in range(10)})
        size = len(message("M0"))
        assert load(tmp_path, limits=Limits(max_schema_bytes=size * 10)).data
        with pytest.raises(LimitExceeded):
            load(tmp_path, limits=Limits(max_schema_bytes=size * 10 - 1))

    def test_number_of_files(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {f"f{n}.proto": message(f"M{n}") for n in range(6)})
        assert load(tmp_path, limits=Limits(max_schema_files=6)).data
        for source in (tmp_path, {f"f{n}.proto": message(f"M{n}") for n in range(6)}):
            with pytest.raises(LimitExceeded, match="max_schema_files=5"):
                load(source, limits=Limits(max_schema_files=5))

    def test_imports_count_too(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a.proto": message("A", "b.proto"), "b.proto": message("B")})
        with pytest.raises(LimitExceeded):
            load(tmp_path / "a.proto", limits=Limits(max_schema_files=1))

    def test_descriptor_sets(self) -> None:
        data = load(ORDERS).data
        with pytest.raises(LimitExceeded):
            load(data, limits=Limits(max_schema_bytes=100))
        with pytest.raises(LimitExceeded):
            load(data, limits=Limits(max_schema_files=1))

    def test_they_hold_for_sources_not_for_what_these_compile_to(self) -> None:
        schema = Schema.load(ORDERS, limits=Limits(max_schema_bytes=len(ORDERS), max_schema_files=1))
        assert schema.services() == ["shop.v1.Orders"]

    def test_time(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"a.proto": message("A")})
        assert "too long" in str(failure(tmp_path, timeout=0.0))
