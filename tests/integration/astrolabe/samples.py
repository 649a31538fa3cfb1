"""Answers of the services, as their schemas have them."""

from __future__ import annotations

from typing import Any

JOB = "0193c5a0-7a4e-7c31-8a33-5c1f0d0b7c11"
PLAN_PATH = f"/plans/{JOB}"
SOLVE_PATH = f"/solve/{JOB}"
CALIBRATION = "0193c5a0-7a4e-7c31-8a33-5c1f0d0b7c99"
CALIBRATION_PATH = f"/calibrations/{CALIBRATION}"
GIB = 2**30


def job(status: str, path: str = PLAN_PATH, **more: Any) -> dict[str, Any]:
    ended = status in {"succeeded", "failed", "cancelled"}
    return {
        "id": JOB,
        "status": status,
        "progress": None,
        "attempt": 1,
        "labels": {"team": "nlp"},
        "external_id": None,
        "created_at": "2026-11-24T10:00:00Z",
        "started_at": "2026-11-24T10:00:01Z",
        "finished_at": "2026-11-24T10:00:03.5Z" if ended else None,
        "error": None,
        "links": {"self": path, "events": f"{path}/events"},
        **more,
    }


def candidate(iteration_seconds: float = 4.5, **strategy: Any) -> dict[str, Any]:
    return {
        "gpu": "a100-80gb-sxm",
        "gpus": 64,
        "strategy": {
            "tensor_parallel": 4,
            "pipeline_parallel": 2,
            "data_parallel": 8,
            "micro_batch_size": 2,
            "sequence_parallel": True,
            "recompute": "selective",
            "recompute_modules": ["core_attn"],
            "sharding": "zero1",
            **strategy,
        },
        "estimate": estimate(iteration_seconds),
        "cost": None,
    }


def estimate(iteration_seconds: float = 4.5, **more: Any) -> dict[str, Any]:
    return {
        "feasible": True,
        "reasons": [],
        "iteration_seconds": iteration_seconds,
        "tokens_per_second": 3_000_000 / iteration_seconds,
        "tokens_per_second_per_gpu": 3277.6,
        "model_flops_utilization": 0.4567,
        "memory": {"capacity": 80 * GIB, "peak": 41.25 * GIB, "stages": []},
        "breakdown": {"compute": 4.0, "tp": 0.5, "ep": 0.0},
        **more,
    }


def calibration(name: str = "ours", **more: Any) -> dict[str, Any]:
    return {
        "id": CALIBRATION,
        "name": name,
        "gpu": "a100-80gb-sxm",
        "stack": "megatron-core",
        "runs": 4,
        "factors": {"slowdown": 1.25},
        "errors": {"before": 0.231, "after": 0.041},
        "memory": {"runs": 3, "before": 0.2, "after": 0.05},
        "per_run": [],
        "created_at": "2026-11-24T10:00:00Z",
        "catalog_digest": "0" * 64,
        **more,
    }


SEARCH = {
    "enumerated": 1000,
    "after_rules": 700,
    "after_memory": 400,
    "evaluated": 350,
    "seconds": 0.125,
    "optimality": "exact",
    "dropped": {"heads": 100, "batch": 200, "ffn": 0},
}


def plan(**more: Any) -> dict[str, Any]:
    candidates = [candidate(4.5), candidate(5.25, tensor_parallel=8, data_parallel=4)]
    result = {"best": candidates[0], "candidates": candidates, "frontier": [], "search": SEARCH, "reasons": []}
    return job("succeeded", **{**result, **more})


NOTHING_FITS = {
    "rule": "memory",
    "message": "none of 700 valid strategies fits in memory",
    "remedy": "use more GPUs",
}


def infeasible_plan() -> dict[str, Any]:
    return plan(best=None, candidates=[], reasons=[NOTHING_FITS])


def node(path: str, status: str, **more: Any) -> dict[str, Any]:
    parent = path.rpartition(".")[0] or None
    return {
        "path": path,
        "parent": parent,
        "layer": path.count(".") + 1,
        "model": "offline:demo",
        "status": status,
        **more,
    }


NOTE = "replayed from the recording 'demo'; no model was asked"


def episode(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    nodes = [
        node("1", "failed", error="ValueError: no route\nsecond line"),
        node("2", "succeeded", answer=42),
        node("1.1", "succeeded", answer=42),
        node("1.2", "succeeded", answer=41),
    ]
    result = {
        "answer": 42,
        "decided_by": "majority",
        "votes": [
            {"answer": 42, "count": 2, "share": 2 / 3, "nodes": ["2", "1.1"]},
            {"answer": 41, "count": 1, "share": 1 / 3, "nodes": ["1.2"]},
        ],
        "stop_reason": "all_succeeded",
        "best_attempt": None,
        "providers": ["offline-replay"],
        "notes": [NOTE],
        "usage": {"llm_calls": 4, "programs": 4, "tokens": 5120, "money_usd": None, "estimated": True},
        "tree": {"nodes": nodes},
    }
    return job(status, SOLVE_PATH, **{**result, **more})


def failed_episode() -> dict[str, Any]:
    error = {
        "type": "urn:astrolabe:problem:no-answer",
        "title": "No answer",
        "detail": "none of 1 programs ran",
        "errors": [],
    }
    tree = {"nodes": [node("1", "failed", error="ValueError: no route")]}
    return episode("failed", answer=None, decided_by=None, votes=[], best_attempt="1", error=error, tree=tree)


CREATED = (1, "job.created", {"status": "queued"})
STARTED = (2, "job.started", {"attempt": 1})
PROGRESS = (3, "job.progress", {"phase": "cost", "completed": 120, "total": 480, "unit": "strategies"})
NODE = (4, "node.finished", {"path": "1", "status": "failed", "model": "offline:demo", "error": "ValueError: no route"})
SUCCEEDED = (5, "job.succeeded", {"status": "succeeded"})


BATCH = "0193c5a0-7a4e-7c31-8a33-00000000ba7c"
BATCH_PATH = f"/batches/{BATCH}"
BATCH_LINKS = {"self": BATCH_PATH, "results": f"{BATCH_PATH}/results", "cancel": f"{BATCH_PATH}/cancel"}


def receipt(accepted: int, *rejections: dict[str, Any], duplicates: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": BATCH,
        "status": "running",
        "total": accepted + duplicates + len(rejections),
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": len(rejections),
        "rejections": list(rejections),
        "links": BATCH_LINKS,
        "created_at": "2026-11-24T10:00:00Z",
        **more,
    }


def rejection(line: int, external_id: str) -> dict[str, Any]:
    error = {"field": "cluster.gpu", "message": "is unknown", "value": "a1oo", "remedy": "use a100-80gb-sxm"}
    detail = "cluster.gpu: is unknown"
    problem = {
        "type": "urn:astrolabe:problem:invalid-request",
        "title": "Invalid request",
        "status": 422,
        "detail": detail,
    }
    return {"line": line, "external_id": external_id, "problem": {**problem, "errors": [error]}}


def batch(status: str = "finished", **counts: int) -> dict[str, Any]:
    states = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")
    return {
        "id": BATCH,
        "status": status,
        "total": sum(counts.values()),
        "accepted": sum(counts.values()),
        "duplicates": 0,
        "rejected": 0,
        "ended": sum(counts.get(state, 0) for state in states[3:]),
        "counts": {state: counts.get(state, 0) for state in states},
        "created_at": "2026-11-24T10:00:00Z",
        "finished_at": "2026-11-24T10:01:00Z" if status == "finished" else None,
        "links": BATCH_LINKS,
    }


def result(cursor: int, job_document: dict[str, Any]) -> dict[str, Any]:
    return {"cursor": str(cursor), "job": job_document}
