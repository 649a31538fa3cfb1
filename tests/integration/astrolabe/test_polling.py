"""Polling sends what is known, and takes "unchanged" for an answer; the catalogue is read."""

from __future__ import annotations

import pytest
from tests.integration.astrolabe import samples
from tests.integration.astrolabe.scripted_service import Reply, ScriptedService, answer

from astrolabe import GPUS, MODELS, PLANS, PRICES, ApiProblem, AsyncClient, Client, UnexpectedResponseError

UNCHANGED = Reply(304, headers={"ETag": '"3"'})
GPU = {
    "name": "h100-80gb-sxm",
    "aliases": ["h100"],
    "generation": "hopper",
    "memory_gib": 80.0,
    "memory_gbps": 3350.0,
    "multiprocessors": 132,
    "tflops": {"bf16": 989.5, "fp8": 1979.0},
    "scale_up_gbps": 450.0,
    "scale_out_gbps": 50.0,
    "domain": 8,
    "node": 8,
    "host_gbps": 64.0,
    "scale_up": "nvlink",
    "source": "datasheet",
}
MODEL = {"name": "llama-2-7b", "parameters": 6.74e9, "dimensions": {"layers": 32, "heads": 32}, "source": "paper"}
PRICE = {
    "gpu": "h100-80gb-sxm",
    "cloud": "a",
    "on_demand": 2.5,
    "spot": None,
    "region": "any",
    "dated": "2026-11-01",
    "source": "list",
}


def test_what_has_not_changed_is_not_sent_again(service: ScriptedService, client: Client) -> None:
    service.on(
        "GET",
        samples.PLAN_PATH,
        answer(samples.job("running"), ETag='"3"'),
        UNCHANGED,
        UNCHANGED,
        answer(samples.plan(), ETag='"4"'),
        UNCHANGED,
    )
    job = client.job(PLANS, samples.JOB)
    assert job.refresh().status == "running"
    assert job.wait(600).best is not None
    assert job.refresh().best is not None
    asked = [sent.headers.get("if-none-match") for sent in service.seen]
    assert asked == [None, '"3"', '"3"', '"3"', '"4"']


def test_unchanged_is_no_answer_to_who_knows_nothing(service: ScriptedService, client: Client) -> None:
    service.on("GET", samples.PLAN_PATH, UNCHANGED)
    with pytest.raises(ApiProblem, match="304"):
        client.job(PLANS, samples.JOB)


def test_the_catalogue_is_read(service: ScriptedService, client: Client) -> None:
    for part, entry in (("gpus", GPU), ("models", MODEL), ("prices", PRICE)):
        service.on("GET", f"/catalog/{part}", answer([entry]))
    [gpu], [model], [price] = client.catalog(GPUS), client.catalog(MODELS), client.catalog(PRICES)
    assert gpu.tflops["bf16"] == 989.5
    assert model.dimensions["layers"] == 32
    assert (price.on_demand, price.spot) == (2.5, None)


async def test_the_catalogue_is_read_with_await(service: ScriptedService, async_client: AsyncClient) -> None:
    service.on("GET", "/catalog/gpus", answer([GPU]))
    assert [gpu.name for gpu in await async_client.catalog(GPUS)] == ["h100-80gb-sxm"]


@pytest.mark.parametrize("document", [{"items": []}, [{"name": 1}]])
def test_another_catalogue_is_told_from_ours(service: ScriptedService, client: Client, document: object) -> None:
    service.on("GET", "/catalog/gpus", answer(document))
    with pytest.raises(UnexpectedResponseError, match="catalog/gpus"):
        client.catalog(GPUS)
