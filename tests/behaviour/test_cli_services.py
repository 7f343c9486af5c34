"""The command on services written in Python, and what it writes for other languages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.cli_support import environment, serving, wirelane

MODULE = """
from __future__ import annotations
from dataclasses import dataclass
from wirelane import grpc

orders = grpc.Service("shop.v1.Orders", doc="Sells things.")
admin = grpc.Service("shop.v1.Admin")
number = 5

@dataclass
class Order:
    id: str

class Handlers:
    @orders.method
    async def get(self, id: str) -> Order:
        "Find one."
        return Order(id)

@admin.method
async def remove(request: Order) -> None: ...

server = grpc.Server([orders.bind(Handlers()), admin])
empty = grpc.Server()
"""


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """Write the module; return the environment in which it is found."""
    (tmp_path / "shop_services.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("raise RuntimeError('not today')")
    return environment(PYTHONPATH=str(tmp_path))


def test_services_are_found_in_a_module_a_service_and_a_server(shop: dict[str, str]) -> None:
    """No server runs for it."""
    for place, expected in (
        ("shop_services", "shop.v1.Admin\nshop.v1.Orders\n"),
        ("shop_services:server", "shop.v1.Admin\nshop.v1.Orders\n"),
        ("shop_services:orders", "shop.v1.Orders\n"),
    ):
        done = wirelane("list", "--service", place, env=shop)
        assert (done.code, done.out) == (0, expected), done
    done = wirelane("describe", "--service", "shop_services:orders", "Orders/Get", env=shop)
    assert "// Find one.\nrpc Get(GetRequest) returns (Order);" in done.out
    done = wirelane(
        "describe", "--service", "shop_services", "GetRequest", "--template", "--compact", env=shop
    )
    assert done.out == '{"id":""}\n'


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("nowhere:orders", "nowhere does not import: ModuleNotFoundError"),
        ("broken", "broken does not import: RuntimeError: not today"),
        (":orders", "nothing does not import"),
        ("shop_services:ordrs", "shop_services has no ordrs; it has admin, empty, orders, server"),
        ("shop_services:number", "is a int, not a grpc.Service"),
        ("shop_services:empty", "the server has no service that was written in Python"),
        ("json", "the module has no grpc.Service"),
    ],
)
def test_what_is_no_service_is_told(shop: dict[str, str], place: str, complaint: str) -> None:
    """With the place that was given."""
    wirelane("list", "--service", place, env=shop).failed(2, complaint)


def test_a_service_is_a_schema_by_itself(shop: dict[str, str]) -> None:
    """Two sources would contradict each other."""
    wirelane("list", "--service", "shop_services", "--proto", "x.proto", env=shop).failed(
        2, "a schema by itself"
    )
    wirelane("list", "--service", "shop_services", "--reflection", env=shop).failed(
        2, "--reflection asks the server"
    )


def test_whole_files_are_written_for_compilers(shop: dict[str, str], tmp_path: Path) -> None:
    """protoc takes them as they are."""
    out = tmp_path / "out"
    done = wirelane("describe", "--service", "shop_services", "--proto-out", str(out), env=shop)
    names = ["shop/v1/shared_types.proto", "shop/v1/orders.proto", "shop/v1/admin.proto"]
    assert (done.code, sorted(done.out.splitlines())) == (0, sorted(str(out / name) for name in names))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{out}",
            f"--descriptor_set_out={tmp_path / 'set'}",
            *names,
        ],
        check=True,
        capture_output=True,
    )
    listed = wirelane("list", "--protoset", str(tmp_path / "set"))
    assert listed.out == "shop.v1.Admin\nshop.v1.Orders\n"


def test_one_file_is_printed_where_it_is_one(shop: dict[str, str], tmp_path: Path) -> None:
    """And told where it is not."""
    done = wirelane("describe", "--service", "shop_services:orders", "--proto-out", "-", env=shop)
    assert done.out.startswith('syntax = "proto3";\n\npackage shop.v1;\n')
    assert "// Sells things.\nservice Orders {" in done.out
    wirelane("describe", "--service", "shop_services", "--proto-out", "-", env=shop).failed(
        2, "2 files do not go into one"
    )
    done = wirelane("describe", "--service", "shop_services", "shop.v1.Order", "--proto-out", "-", env=shop)
    assert done.out.count("message ") == 1
    wirelane("describe", "--service", "shop_services", "--json", "--proto-out", "-", env=shop).failed(
        2, "leave --template"
    )


def test_a_server_gives_whole_files_too(tmp_path: Path) -> None:
    """By reflection, whatever it was written in."""
    with serving() as served:
        done = wirelane("describe", served.grpc, "Summator", "--proto-out", "-")
        (tmp_path / "summator.proto").write_text(done.out)
        again = wirelane(
            "call",
            served.grpc,
            "Summator/sum",
            "-d",
            '{"value1": 2}',
            "--proto",
            str(tmp_path / "summator.proto"),
            "--compact",
        )
        assert again.out == '{"value":2.0}\n'
        done = wirelane(
            "describe",
            served.grpc,
            "--proto-out",
            str(tmp_path / "all"),
            "--protoset-out",
            str(tmp_path / "set"),
        )
        assert done.code == 0, done
        assert wirelane("list", "--protoset", str(tmp_path / "set")).out == wirelane("list", served.grpc).out
        assert wirelane("list", "--proto", str(tmp_path / "all")).out == wirelane("list", served.grpc).out
