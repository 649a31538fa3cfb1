"""The plumbing of every application, over a small one of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from kit.problems import MEDIA_TYPE, FieldError, Problem
from kit.settings import Settings
from kit.web import create_app

LIMIT_BYTES = 1000


class Cash(BaseModel, extra="forbid"):
    kind: Literal["cash"]
    amount: int


class Card(BaseModel, extra="forbid"):
    kind: Literal["card"]
    number: str


class Note(BaseModel, extra="forbid"):
    kind: Literal["note"]
    note: Annotated[str, Field(max_length=3)]
    """Named as its member of the union is."""


class Order(BaseModel, extra="forbid"):
    count: Annotated[int, Field(gt=0)]
    payments: list[Annotated[Cash | Card | Note, Field(discriminator="kind")]] = []
    name: str = ""
    extras: dict[str, Any] = {}


async def broken() -> None:
    raise ConnectionError("no route to the store\nat host 10.0.0.1")


def make_app(*, ready: bool = True) -> FastAPI:
    router = APIRouter()

    @router.post("/orders")
    async def order(order: Order) -> Order:
        return order

    @router.get("/crash")
    async def crash() -> None:
        raise ZeroDivisionError("a secret detail")

    @router.get("/teapot")
    async def teapot() -> None:
        error = FieldError(field="pot", message="is a teapot", value="tea", remedy="ask for coffee elsewhere")
        raise Problem(418, "teapot", "Teapot", "no coffee", errors=[error], headers={"X-Kind": "tea"})

    async def fine() -> None:
        return None

    readiness = {"store": fine} if ready else {"store": fine, "queue": broken}
    settings = Settings(max_body_bytes=LIMIT_BYTES)
    return create_app(service="toy", title="Toy", settings=settings, routers=[router], readiness=readiness)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        yield client


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return body


async def test_a_good_request_passes(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", json={"count": 1, "name": "ü€😀 \\u0000 as text"})
    assert response.status_code == 200
    assert response.json()["name"] == "ü€😀 \\u0000 as text"


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"count": -3}, "count", -3),
        ({"count": "many"}, "count", "many"),
        ({}, "count", None),
        ({"count": 1, "nmae": "x"}, "nmae", "x"),
        ({"count": 1, "payments": [{"kind": "cash", "amount": "all"}]}, "payments.0.amount", "all"),
        ({"count": 1, "payments": [{"kind": "cash", "amount": 1}, {"kind": "card"}]}, "payments.1.number", None),
        ({"count": 1, "name": "a\0b"}, "name", "a\\x00b"),
        ({"count": 1, "extras": {"list": [1, "\0"]}}, "extras.list.1", "\\x00"),
        ({"count": 1, "extras": {"k\0": 1}}, "extras.k\\x00", "k\\x00"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient, body: dict[str, Any], field: str, value: object
) -> None:
    errors = {error["field"]: error for error in problem(await client.post("/orders", json=body), 422)["errors"]}
    assert errors[field]["value"] == value
    assert errors[field]["message"]


@pytest.mark.parametrize(
    ("body", "field", "remedy"),
    [
        ({"count": 0}, "count", "send more than 0"),
        ({"count": "x"}, "count", "send a whole number"),
        ({"count": 1.5}, "count", "send a whole number"),
        ({"count": 1, "name": 7}, "name", "send a text"),
        ({"count": 1, "payments": {}}, "payments", "send an array"),
        ({"count": 1, "payments": [{"kind": "gold"}]}, "payments.0", "send 'kind' as one of 'cash', 'card', 'note'"),
        ({"count": 1, "payments": [{}]}, "payments.0", "add 'kind', which says of what kind it is"),
        ({"count": 1, "payments": [{"kind": "card", "number": "1", "pin": 2}]}, "payments.0.pin", "remove the field"),
        ({"count": 1, "payments": [{"kind": "note", "note": 3}]}, "payments.0.note", "send a text"),
        ({"count": 1, "payments": [{"kind": "note", "note": "abcd"}]}, "payments.0.note", "send at most 3 characters"),
        ({}, "count", "add the field"),
    ],
)
async def test_a_wrong_field_comes_with_a_remedy(
    client: httpx.AsyncClient, body: dict[str, Any], field: str, remedy: str
) -> None:
    (error,) = problem(await client.post("/orders", json=body), 422)["errors"]
    assert (error["field"], error["remedy"][: len(remedy)]) == (field, remedy)


async def test_what_does_not_say_its_kind_is_told_what_it_lacks(client: httpx.AsyncClient) -> None:
    (error,) = problem(await client.post("/orders", json={"count": 1, "payments": [{}]}), 422)["errors"]
    assert error["message"] == "has no 'kind'"


async def test_a_value_that_is_no_scalar_is_shown_as_json(client: httpx.AsyncClient) -> None:
    (error,) = problem(await client.post("/orders", json={"count": 1, "payments": {"a": [True]}}), 422)["errors"]
    assert error["value"] == '{"a": [true]}'


async def test_where_json_ends_to_be_json_is_told(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", content='{"count":', headers={"content-type": "application/json"})
    (error,) = problem(response, 400)["errors"]
    assert (error["field"], error["remedy"]) == ("body", "send well-formed JSON")
    assert error["message"].endswith("at character 9")


@pytest.mark.parametrize(
    "raw", ['{"count":1,"name":"\\ud800"}', '{"count":1,"extras":{"x":NaN}}', '{"count":1,"extras":{"x":1e999}}']
)
async def test_what_json_says_and_a_database_cannot_keep_is_refused(client: httpx.AsyncClient, raw: str) -> None:
    response = await client.post("/orders", content=raw, headers={"content-type": "application/json"})
    assert problem(response, 422)["errors"][0]["remedy"] == "remove it"


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 900, b"1" * 900])
async def test_a_body_that_is_not_json_is_the_callers_fault(client: httpx.AsyncClient, raw: bytes) -> None:
    response = await client.post("/orders", content=raw, headers={"content-type": "application/json"})
    problem(response, response.status_code)
    assert response.status_code in {400, 422}


async def test_a_declared_large_body_is_refused_unread(client: httpx.AsyncClient) -> None:
    response = await client.post("/orders", json={"count": 1, "name": "x" * LIMIT_BYTES})
    assert str(LIMIT_BYTES) in problem(response, 413)["detail"]


async def test_a_streamed_large_body_is_refused(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    response = await client.post("/orders", content=chunks(), headers={"content-type": "application/json"})
    problem(response, 413)


async def test_a_compressed_body_is_refused_with_what_is_understood(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = await client.post("/orders", content=b"\x1f\x8b", headers=headers)
    assert problem(response, 415)["errors"][0]["value"] == "gzip"
    assert response.headers["accept-encoding"] == "identity"


async def test_nul_in_the_address_is_refused(client: httpx.AsyncClient) -> None:
    problem(await client.get("/teapot?x=%00"), 422)


async def test_a_crash_tells_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/crash")
    problem(response, 500)
    assert "secret" not in response.text


async def test_a_problem_keeps_its_fields_and_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/teapot")
    body = problem(response, 418)
    assert body["type"] == "urn:astrolabe:problem:teapot"
    assert body["errors"] == [
        {"field": "pot", "message": "is a teapot", "value": "tea", "remedy": "ask for coffee elsewhere"}
    ]
    assert response.headers["x-kind"] == "tea"


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [("GET", "/nowhere", 404, "There is no /nowhere"), ("PUT", "/orders", 405, "/orders does not take PUT")],
)
async def test_http_errors_are_problems(
    client: httpx.AsyncClient, method: str, path: str, status: int, says: str
) -> None:
    assert says in problem(await client.request(method, path), status)["detail"]


async def test_the_callers_request_id_is_kept_unless_it_is_odd(client: httpx.AsyncClient) -> None:
    kept = await client.get("/livez", headers={"X-Request-ID": "run-7:abc"})
    assert kept.headers["x-request-id"] == "run-7:abc"
    odd = await client.get("/livez", headers={"X-Request-ID": "a b\x7f"})
    assert odd.headers["x-request-id"] != "a b\x7f"


async def test_readiness_names_what_is_away_and_no_more() -> None:
    transport = httpx.ASGITransport(make_app(ready=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://toy") as client:
        assert (await client.get("/livez")).json() == {"status": "alive", "service": "toy"}
        response = await client.get("/readyz")
    body = problem(response, 503)
    assert body["errors"] == [{"field": "queue", "message": "no route to the store", "value": None, "remedy": None}]
    assert "10.0.0.1" not in response.text


async def test_readiness_when_all_is_well(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json()["checks"] == {"store": "ok"}


async def test_metrics_count_requests(client: httpx.AsyncClient) -> None:
    await client.post("/orders", json={"count": 1})
    metrics = (await client.get("/metrics")).text
    assert 'astrolabe_toy_http_requests_total{handler="/orders",method="POST",status="2xx"}' in metrics


async def test_the_schema_says_that_errors_are_problems(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    answers = schema["paths"]["/orders"]["post"]["responses"]
    assert {"400", "413", "422", "503"} <= answers.keys()
    assert list(answers["422"]["content"]) == [MEDIA_TYPE]
