from __future__ import annotations

import pytest

from planner.catalog import (
    UnknownNameError,
    calibration_for,
    digest,
    find_gpu,
    find_model,
    gpus,
    price_per_hour,
    prices,
)

CONTRACT = """v100-32gb-sxm a100-40gb-sxm a100-80gb-sxm a800-80gb-sxm h100-80gb-sxm h100-80gb-pcie h800-80gb-sxm h200-141gb-sxm
h20-96gb-sxm b200-180gb-sxm gb200-186gb b300-288gb-sxm gb300-288gb l40s-48gb a10-24gb t4-16gb rtx4090-24gb mi300x-192gb"""


@pytest.mark.parametrize("name", CONTRACT.split())
def test_every_promised_gpu_is_there_and_calibrated(name: str) -> None:
    gpu = find_gpu(name)
    assert gpu.name == name
    assert gpu.source
    assert set(calibration_for(gpu.generation).gemm) == {
        key.replace("bf", "fp").removeprefix("fp") for key in gpu.tflops
    }


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("a100", "a100-80gb-sxm"),
        ("A100-80GB", "a100-80gb-sxm"),
        ("NVIDIA H100", "h100-80gb-sxm"),
        ("h200_141gb_sxm", "h200-141gb-sxm"),
        (" mi300x ", "mi300x-192gb"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert find_gpu(alias).name == name


def test_aliases_are_unambiguous() -> None:
    names = [alias for gpu in gpus().values() for alias in (gpu.name, *gpu.aliases)]
    assert len(names) == len(set(names))


def test_an_unknown_name_offers_the_closest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_gpu("h100-80gb-smx")
    assert "h100-80gb-sxm" in caught.value.closest
    with pytest.raises(UnknownNameError, match="llama-2-7b"):
        find_model("llama2-7b")


def test_prices_are_dated_sourced_and_of_known_gpus() -> None:
    assert prices()
    for price in prices():
        assert price.gpu in gpus()
        assert price.dated
        assert price.source
        assert price.on_demand > 0


def test_the_cheapest_listing_that_matches() -> None:
    cheapest = price_per_hour("h100-80gb-sxm")
    assert cheapest is not None
    assert cheapest.cloud == "nebius"
    aws = price_per_hour("h100-80gb-sxm", cloud="aws")
    assert aws is not None
    assert aws.on_demand == 12.29
    assert price_per_hour("h100-80gb-sxm", spot=True) is None
    assert price_per_hour("mi300x-192gb") is None


def test_the_digest_names_the_data() -> None:
    assert len(digest()) == 64
