"""What is checked when a handler is registered, and what a path without one is told."""

from __future__ import annotations

import functools

import pytest

from support.server_support import DEMO_SERVICE, demo_schema, demo_server
from wirelane.core.method import Cardinality
from wirelane.errors import UsageError
from wirelane.grpc.methods import Method
from wirelane.grpc.server import Server
from wirelane.grpc.server.router import Router, check_handler, schema_route
from wirelane.grpc.services import ServingStatus

UNARY, DOWN = Cardinality.UNARY, Cardinality.SERVER_STREAM
UP, BOTH = Cardinality.CLIENT_STREAM, Cardinality.BIDI_STREAM


async def one_argument(request):
    return request


async def two_arguments(request, context):
    return request


async def generator(request):
    yield request


class Service:
    async def method(self, request, context):
        return request

    async def __call__(self, request):
        return request


@pytest.mark.parametrize(
    ("handler", "takes_context"),
    [
        (one_argument, False),
        (two_arguments, True),
        (Service().method, True),
        (Service(), False),
        (functools.partial(two_arguments, context=None), False),
        (functools.partial(Service().method), True),
    ],
)
@pytest.mark.parametrize("cardinality", list(Cardinality))
def test_async_functions_methods_partials_and_objects_are_handlers(handler, takes_context, cardinality):
    assert check_handler("Demo/One", cardinality, handler) is takes_context


def test_arguments_with_defaults_and_stars_are_counted_as_given():
    async def optional(request, context=None):
        return request

    async def stars(*arguments):
        return arguments

    assert check_handler("Demo/One", UNARY, optional)
    assert check_handler("Demo/One", UNARY, stars)


@pytest.mark.parametrize("cardinality", [DOWN, BOTH])
def test_generators_are_handlers_where_the_server_streams(cardinality):
    assert check_handler("Demo/Down", cardinality, generator) is False


@pytest.mark.parametrize("cardinality", [UNARY, UP])
def test_generators_are_refused_where_one_message_is_answered(cardinality):
    with pytest.raises(UsageError, match="Demo/One answers with one message"):
        check_handler("Demo/One", cardinality, generator)


@pytest.mark.parametrize("handler", [lambda request: request, print, len])
def test_plain_functions_are_refused_because_they_would_block(handler):
    with pytest.raises(UsageError, match="async def"):
        check_handler("Demo/One", UNARY, handler)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(UsageError, match="not a function"):
        check_handler("Demo/One", UNARY, "sum")


async def no_arguments():
    return None


async def three_arguments(request, context, more):
    return None


async def keyword_needed(request, *, database):
    return None


@pytest.mark.parametrize("handler", [no_arguments, three_arguments, keyword_needed])
def test_other_signatures_are_refused_and_shown(handler):
    with pytest.raises(UsageError, match=rf"\(request\) or \(request, context\), not {handler.__name__}\("):
        check_handler("Demo/One", UNARY, handler)


@pytest.mark.parametrize(
    "name", ["Demo/One", f"{DEMO_SERVICE}/One", f"/{DEMO_SERVICE}/One", f"{DEMO_SERVICE}.One"]
)
def test_methods_are_named_in_every_form(name):
    route = schema_route(demo_schema(), name, one_argument)
    assert (route.path, route.name, route.service) == (
        f"/{DEMO_SERVICE}/One",
        f"{DEMO_SERVICE}/One",
        DEMO_SERVICE,
    )


@pytest.mark.parametrize(
    ("name", "nearest"), [("Demo/Won", "One"), ("wirelane.tests.server.Dem/One", "Demo")]
)
def test_unknown_methods_and_services_are_refused_with_the_nearest(name, nearest):
    with pytest.raises(UsageError, match=nearest):
        demo_server().method(name)(one_argument)


def test_method_takes_one_handler():
    server = demo_server()
    server.method("Demo/One")(one_argument)
    with pytest.raises(UsageError, match=f"{DEMO_SERVICE}/One has a handler already"):
        server.method("Demo/One")(two_arguments)


def test_method_by_name_needs_a_schema():
    with pytest.raises(UsageError, match="schema"):
        Server().method("Demo/One")(one_argument)


def test_method_is_a_name_or_a_method():
    with pytest.raises(UsageError, match="name"):
        demo_server().method(5)(one_argument)  # type: ignore[arg-type]


def test_decorator_gives_the_function_back():
    assert demo_server().method("Demo/One")(one_argument) is one_argument


def test_method_object_needs_no_schema():
    server = Server()
    server.method(Method("demo.Raw/Echo", Cardinality.UNARY, bytes, bytes))(one_argument)
    assert server.health.get("demo.Raw") is ServingStatus.SERVING


def test_explanations_name_what_is_missing():
    router = Router()
    router.add(schema_route(demo_schema(), "Demo/One", one_argument))
    assert router.explain("/no.Such/One") == "service 'no.Such' is not implemented here"
    assert (
        router.explain(f"/{DEMO_SERVICE}/Two")
        == f"method 'Two' of service '{DEMO_SERVICE}' is not implemented here"
    )
    assert "nonsense" in router.explain("nonsense")
    assert len(router.explain("/" + "x" * 10_000 + "/One")) < 300


def test_router_lists_its_services():
    router = Router()
    router.add(schema_route(demo_schema(), "Demo/One", one_argument))
    router.add(schema_route(demo_schema(), "Demo/Up", one_argument))
    assert router.services() == [DEMO_SERVICE]
    assert repr(router) == "<Router 2 methods of 1 services>"
