"""Helpers of the tests of wirelane.schema: samples in every syntax, and trees of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from google.protobuf import descriptor_pb2

from wirelane.schema import Descriptors, load

ORDERS = """\
// Everything about orders.
syntax = "proto3";

package shop.v1;

import "google/protobuf/timestamp.proto";

// What somebody bought.
message Order {
  // Given by us.
  string id = 1;
  repeated Line lines = 2;
  map<string, int64> counts = 3;
  map<int32, Line> by_number = 4;
  oneof payment {
    string card = 5;
    bytes token = 6;
  }
  optional int32 priority = 7;
  Status status = 8;
  google.protobuf.Timestamp at = 9;
  Order parent = 10 [deprecated = true];

  // One position.
  message Line {
    string article = 1;  // as in the catalogue
    double price = 2;
  }

  enum Status {
    // Nothing yet.
    STATUS_UNSPECIFIED = 0;
    STATUS_PAID = 1;
    STATUS_GONE = 2 [deprecated = true];
  }
}

// Takes orders.
service Orders {
  // Takes one.
  rpc Place(Order) returns (Order);
  rpc Watch(Order) returns (stream Order);
  rpc Import(stream Order) returns (Order) { option deprecated = true; }
  rpc Chat(stream Order) returns (stream Order);
}
"""

PROTO2 = """\
// Licence: do as you please.

// The file's own comment.
syntax = "proto2";

// The package.
package legacy.v2;

import "google/protobuf/descriptor.proto";
import public "google/protobuf/any.proto";

option java_package = "com.example";
option optimize_for = SPEED;
option (file_note) = "a \\"quoted\\" note\\n";

extend google.protobuf.FileOptions { optional string file_note = 50001; }
extend google.protobuf.MessageOptions {
  optional Rules rules = 50002;
  repeated int32 numbers = 50003;
}
extend google.protobuf.FieldOptions {
  optional float weight = 50004;
  optional double exact = 50005;
  optional bytes raw = 50006;
  optional Kind field_kind = 50007;
  optional bool marked = 50008;
}
extend google.protobuf.EnumValueOptions { optional string label = 50009; }
extend google.protobuf.MethodOptions { optional Rules method_rules = 50010; }

message Rules {
  optional int32 most = 1;
  repeated string words = 2;
  optional Rules inner = 3;
  extensions 100 to 199;
}

extend Rules { optional string more = 100; }

enum Kind {
  option allow_alias = true;
  UNKNOWN = 0 [(label) = "none"];
  NEGATIVE = -5;
  ALSO_UNKNOWN = 0;
  reserved 10, 20 to 30, 40 to max;
  reserved "OLD", "OLDER";
}

message Wide {
  option (rules) = { most: 3 words: "a" words: "b" inner { most: -1 [legacy.v2.more]: "x" } };
  option (numbers) = 1;
  option (numbers) = 2;

  // A block that stands apart.

  // The first.
  required int32 a = 1 [default = -7, (weight) = 0.1, (exact) = 1e100, (marked) = true];
  optional string b = 2 [default = "a\\tb\\"c\\303\\244", json_name = "BEE"];
  optional bytes c = 3 [default = "\\000\\377'\\"", (raw) = "\\001\\002"];
  optional double d = 4 [default = inf];
  optional float e = 5 [default = nan];
  optional Kind f = 6 [default = NEGATIVE, (field_kind) = NEGATIVE];
  repeated int32 g = 7 [packed = true];
  optional group Item = 8 {
    // Inside the group.
    optional int32 x = 1;
    optional group Deeper = 2 { optional bool y = 1; }
  }
  message Between { optional string s = 1; }
  map<string, Between> h = 9;
  oneof choice {
    // The left one.
    string left = 10;
    group Right = 11 { optional int32 z = 1; }
    Between middle = 12;
  }
  message After { enum Own { ONE = 1; } optional Own own = 1 [default = ONE]; }
  repeated group Many = 13 { optional Item item = 1; }
  optional fixed64 deprecated_one = 14 [deprecated = true];
  extensions 1000 to 1999, 3000;
  extensions 5000 to max;
  reserved 500, 600 to 700;
  reserved "gone", "went";
  extend Rules {
    optional Wide wide = 101;
    optional group Extra = 102 { optional int32 e = 1; }
  }
  message Last {}
}

extend Wide {
  optional group TopGroup = 1000 { optional string t = 1; }
  repeated string words = 1001;
}

message AfterTop {
  option message_set_wire_format = true;
  extensions 4 to max;
}

// Does things.
service Things {
  option deprecated = true;
  // Once.
  rpc One(Wide) returns (.google.protobuf.Any);
  rpc Two(stream Wide) returns (stream Wide) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (method_rules) = { most: 1 };
  }  // behind
}
"""

EDITION = """\
edition = "2023";

package modern;

import "google/protobuf/descriptor.proto";

option features.field_presence = IMPLICIT;
option features.enum_type = CLOSED;

extend google.protobuf.FieldOptions { Settings settings = 50001; }

message Settings { int32 level = 1; }

message Thing {
  int32 plain = 1;
  string explicit = 2 [features.field_presence = EXPLICIT, default = "x"];
  int32 needed = 3 [features.field_presence = LEGACY_REQUIRED];
  repeated int32 spread = 4 [features.repeated_field_encoding = EXPANDED];
  Thing delimited = 5 [features.message_encoding = DELIMITED, (settings) = { level: 2 }];
  map<string, Thing> things = 6;
  reserved old, older;
  reserved 10 to 20;
  extensions 100 to 200 [
    declaration = { number: 100 full_name: ".modern.ext" type: "int32" },
    verification = DECLARATION
  ];
}

extend Thing { int32 ext = 100; }

enum Level {
  option features.enum_type = OPEN;
  LOW = 0;
  HIGH = 1;
  reserved MIDDLE;
}
"""

NAMES = """\
syntax = "proto3";

package a.b;

message C { string s = 1; }

message Outer {
  message C { int32 i = 1; }
  message a { int32 i = 1; }
  C inner = 1;
  .a.b.C outer = 2;
  .a.b.a.C other = 3;
  a shadow = 4;
  .a.b.Outer.C same = 5;
}

message a { message C {} }
"""

SAMPLES: Mapping[str, str] = {"orders": ORDERS, "proto2": PROTO2, "edition": EDITION, "names": NAMES}


def schema(text: str, name: str = "sample.proto") -> Descriptors:
    """Compile one text, and link it."""
    loaded = load({name: text})
    return Descriptors.from_set(loaded.data, origin=name)


def without_positions(data: bytes) -> descriptor_pb2.FileDescriptorProto:
    """Return a FileDescriptorProto as it is but for its source information."""
    file = descriptor_pb2.FileDescriptorProto.FromString(data)
    file.ClearField("source_code_info")
    return file


def file_names(data: bytes) -> list[str]:
    """Return the names of the files in a serialized descriptor set."""
    return [file.name for file in descriptor_pb2.FileDescriptorSet.FromString(data).file]


def write_tree(directory: Path, files: Mapping[str, str]) -> Path:
    """Write files below a directory, and return it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def message(name: str, *imports: str, package: str = "") -> str:
    """Return a small proto3 file with one message, and imports."""
    lines = ['syntax = "proto3";', f"package {package};" if package else ""]
    lines += [f'import "{each}";' for each in imports]
    return "\n".join([*lines, f"message {name} {{ int32 x = 1; }}", ""])
