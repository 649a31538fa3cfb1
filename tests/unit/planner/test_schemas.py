from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from planner.engine import ENGINE_VERSION, InvalidRequest, PlanResult
from planner.schemas import EstimateRequest, Estimates, PlanRequest

BODY: dict[str, Any] = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 64, "sequence_length": 2048, "tokens": 1e9},
    "cluster": {"mode": "homogeneous", "gpu": "a100", "count": 8},
}


def changed(path: str, value: object) -> dict[str, Any]:
    body: dict[str, Any] = {key: dict(part) for key, part in BODY.items()}
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target.setdefault(parent, {})
    target[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("workload.global_batch_size", -1),
        ("workload.global_batch_size", "many"),
        ("workload.tokens", float("inf")),
        ("workload.precision", "fp7"),
        ("workload.sequense_length", 4),
        ("cluster.count", 0),
        ("cluster.count", 2**40),
        ("cluster.gpu", "a\x00"),
        ("cluster.mode", "odd"),
        ("model.preset", ""),
        ("model.size", 7),
        ("search.top_k", 0),
        ("search.rules", ["\x00"]),
        ("search.space", {"tensor_parallel": []}),
        ("search.space", {"tensor_parallel": [0]}),
        ("labels", {"": "x"}),
        ("labels", {"a": "\x00"}),
        ("external_id", ""),
        ("webhook", "not a url"),
        ("objective", "fame"),
        ("unknown", 1),
    ],
)
def test_bad_bodies_are_refused(path: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        PlanRequest.model_validate(changed(path, value))
    assert len(caught.value.errors()) == 1


def test_models_in_three_ways() -> None:
    explicit = {"layers": 2, "hidden_size": 256, "heads": 4, "vocab_size": 1000}
    config = {
        "model_type": "llama",
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 1000,
    }
    for model in ({"preset": "llama-3-8b"}, {"huggingface": config}, explicit):
        assert PlanRequest.model_validate(BODY | {"model": model}).canonical()["model"]["layers"]


@pytest.mark.parametrize(
    "changes",
    [
        {"heads": 3},
        {"kv_heads": 3},
        {"experts": 8},
        {"experts": 8, "experts_per_token": 9, "expert_ffn_size": 64},
        {"dense_layers": 3},
    ],
)
def test_contradictory_dimensions_come_with_a_remedy(changes: dict[str, int]) -> None:
    model = {"layers": 2, "hidden_size": 256, "heads": 4, "vocab_size": 1000} | changes
    with pytest.raises(ValidationError) as caught:
        PlanRequest.model_validate(BODY | {"model": model})
    (error,) = caught.value.errors()
    assert error["ctx"]["remedy"]


def test_the_canonical_form_resolves_names_and_forgets_the_job() -> None:
    plain = PlanRequest.model_validate(BODY)
    dressed = BODY | {"labels": {"team": "a"}, "external_id": "7", "webhook": "http://127.0.0.1/x"}
    alias = changed("cluster.gpu", "A100-80GB") | {"labels": {"b": "c"}}
    assert PlanRequest.model_validate(dressed).canonical() == plain.canonical()
    assert PlanRequest.model_validate(alias).canonical() == plain.canonical()
    assert plain.canonical()["cluster"]["gpu"] == "a100-80gb-sxm"
    other = PlanRequest.model_validate(changed("cluster.count", 16))
    assert other.canonical() != plain.canonical()


def test_the_order_of_values_does_not_matter() -> None:
    bodies = [changed("search", {"space": {"tensor_parallel": order}}) for order in ([1, 2], [2, 1, 1])]
    first, second = (PlanRequest.model_validate(body).canonical() for body in bodies)
    assert first == second


@pytest.mark.parametrize(
    ("path", "value", "field"), [("cluster.gpu", "a101", "cluster.gpu"), ("model.preset", "x", "model.preset")]
)
def test_unknown_names_are_refused_by_the_canonical_form(path: str, value: str, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PlanRequest.model_validate(changed(path, value)).canonical()
    assert caught.value.field == field


def test_a_plan_round_trips_through_json() -> None:
    result = PlanRequest.model_validate(BODY).run()
    assert PlanResult.model_validate_json(result.model_dump_json()) == result
    assert result.engine_version == ENGINE_VERSION
    assert result.best is not None
    assert result.best.cost is not None
    hours = result.best.estimate.hours
    assert hours is not None
    assert result.best.cost.usd == pytest.approx(hours * 8 * result.best.cost.prices["a100-80gb-sxm"])


def test_estimates_of_one_and_of_several() -> None:
    one = {"tensor_parallel": 2, "sequence_parallel": True, "recompute": "full", "recompute_method": "uniform"}
    single = EstimateRequest.model_validate(BODY | {"strategy": one}).run()
    several = EstimateRequest.model_validate(BODY | {"strategies": [one, {}]}).run()
    assert isinstance(several, Estimates)
    assert several.estimates[0] == single
    with pytest.raises(InvalidRequest) as caught:
        EstimateRequest.model_validate(BODY | {"strategies": [one, {"tensor_parallel": 3}]}).run()
    assert caught.value.field == "strategies.1.tensor_parallel"


@pytest.mark.parametrize("extra", [{}, {"strategy": {}, "strategies": [{}]}, {"strategies": []}])
def test_an_estimate_needs_one_kind_of_strategies(extra: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EstimateRequest.model_validate(BODY | extra)
