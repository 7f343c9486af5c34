"""`DictFormat`, and the same as options of `Schema.decode`: names, defaults, enums."""

from __future__ import annotations

from typing import Any

import pytest

from support.codec_support import ALL_KINDS, demo, sample
from wirelane.codec import DictFormat
from wirelane.errors import UsageError

VALUE: dict[str, Any] = {
    "f_int32": 5,
    "f_enum": "GREEN",
    "f_enums": ["RED", 77],
    "enum_map": {"k": "BLUE"},
    "f_item": {"name": "x"},
    "f_child": {"f_items": [{"price": 1.5}], "choice_number": 0, "maybe_string": ""},
    "item_map": {"k": {"tags": ["t"]}},
    "timestamps": ["2026-01-01T00:00:00Z"],
    "any": {"@type": "wirelane.demo.Item", "price": 2.5},
}
DATA = demo().encode(ALL_KINDS, VALUE)


def keys(value: Any) -> set[str]:
    """All keys of nested dicts that are names of fields."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    return {key for key in value if key not in {"k", "@type"}}.union(*map(keys, value.values()))


def test_without_defaults_there_is_what_was_set_at_every_depth() -> None:
    out = demo().decode(ALL_KINDS, DATA, emit_defaults=False)
    assert out.keys() == VALUE.keys()
    assert (out["f_item"], out["item_map"]) == ({"name": "x"}, {"k": {"tags": ["t"]}})
    assert out["f_child"] == {"f_items": [{"price": 1.5}], "maybe_string": "", "choice_number": 0}
    assert out["any"] == {"@type": "type.googleapis.com/wirelane.demo.Item", "price": 2.5}
    assert demo().decode(ALL_KINDS, b"", emit_defaults=False) == {}
    assert demo().encode(ALL_KINDS, out) == DATA


def test_without_defaults_minus_zero_is_there() -> None:
    data = demo().encode(ALL_KINDS, {"f_double": -0.0, "f_float": -0.0, "f_int32": 0})
    assert demo().decode(ALL_KINDS, data, emit_defaults=False) == {"f_double": -0.0, "f_float": -0.0}


def test_json_names_are_those_of_the_schema_at_every_depth() -> None:
    schema = demo()
    out = schema.decode(ALL_KINDS, DATA, json_names=True)
    assert {"fItem", "fChild", "maybeString", "timestamps", "price", "itemMap"} <= keys(out)
    assert not any("_" in key for key in keys(out))
    assert schema.encode(ALL_KINDS, out) == DATA
    odd = sample("odd")
    assert (
        odd.decode("odd.Names", odd.encode("odd.Names", {"given_json": 5}), json_names=True)["anotherName"]
        == 5
    )


def test_enums_are_numbers_in_every_place() -> None:
    out = demo().decode(ALL_KINDS, DATA, enums="number")
    assert (out["f_enum"], out["f_enums"], out["enum_map"], out["f_child"]["f_enum"]) == (
        2,
        [1, 77],
        {"k": 3},
        0,
    )
    assert demo().encode(ALL_KINDS, out) == DATA
    legacy = sample("legacy")
    data = legacy.encode("legacy.Record", {"grade": "HIGH"})
    assert legacy.decode("legacy.Record", data, enums="number")["grade"] == 2


def test_options_work_together_and_leave_the_default_as_it_was() -> None:
    data = demo().encode(ALL_KINDS, {"f_enum": "RED"})
    assert demo().decode(ALL_KINDS, data, json_names=True, emit_defaults=False, enums="number") == {
        "fEnum": 1
    }
    assert demo().decode(ALL_KINDS, data)["f_enum"] == "RED"


def test_extensions_keep_their_names_in_every_format() -> None:
    schema = sample("legacy")
    value = {"id": 1, "[legacy.mark]": 7, "[legacy.extras]": [{"name": "y"}]}
    data = schema.encode("legacy.Record", value)
    assert schema.decode("legacy.Record", data, emit_defaults=False, json_names=True) == value


def test_a_schema_gives_codecs_of_every_form() -> None:
    schema = demo()
    data = schema.encode("wirelane.demo.Item", {"price": 1.5})
    for codec, out in {
        "dict": {"name": "", "price": 1.5, "tags": []},
        "json": {"price": 1.5},
        "raw": data,
        DictFormat(emit_defaults=False): {"price": 1.5},
        None: {"name": "", "price": 1.5, "tags": []},
    }.items():
        made = schema.codec("wirelane.demo.Item", codec)  # type: ignore[arg-type]
        assert (made.name, made.decode(data), made.encode(out)) == ("wirelane.demo.Item", out, data)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"values": "xml"}, "values"),
        ({"enums": "names"}, "enums"),
        ({"enums": 1}, "enums"),
        ({"json_names": "yes"}, "json_names"),
        ({"emit_defaults": None}, "emit_defaults"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_its_name(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=name):
        DictFormat(**settings)


def test_an_option_of_decode_that_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="enums"):
        demo().decode(ALL_KINDS, b"", enums="text")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="codec="):
        demo().codec(ALL_KINDS, "text")  # type: ignore[arg-type]
