# ruff: noqa: INP001 - a DAG file stands alone
"""Airflow 3: submit a batch of plans, give the worker's slot back while they are searched, pick the fastest.

Needs ASTROLABE_PLANNER_URL and ASTROLABE_API_KEY in the workers' environment, and the package `astrolabe`.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import PokeReturnValue, dag, get_current_context, task

from astrolabe import PLANS, Client

MODEL = {"preset": "llama-2-7b"}
WORKLOAD = {"global_batch_size": 512, "sequence_length": 4096, "precision": "bf16"}
CLUSTERS = [
    {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 64},
    {"mode": "homogeneous", "gpu": "h100-80gb-sxm", "count": 64},
]


@dag(dag_id="astrolabe_plans", schedule=None, catchup=False, tags=["astrolabe"])
def astrolabe_plans() -> None:
    """Submit, wait without holding a slot, choose."""

    @task(retries=3, retry_delay=timedelta(seconds=30))
    def submit() -> list[str]:
        """The batches' ids. Under the run's own key, a retry finds the batch of the first try."""
        run_id = get_current_context()["run_id"]
        requests = [
            {"external_id": f"{run_id}-{number}", "model": MODEL, "workload": WORKLOAD, "cluster": cluster}
            for number, cluster in enumerate(CLUSTERS)
        ]
        with Client() as client:
            submission = client.submit_many(PLANS, requests, idempotency_key=run_id)
        if submission.rejections:
            raise ValueError(f"refused: {submission.rejections}")
        return [batch.id for batch in submission.batches]

    @task.sensor(poke_interval=30, timeout=3600, mode="reschedule")
    def finished(batch_ids: list[str]) -> PokeReturnValue:
        """Looks every 30 s, and holds no slot between."""
        with Client() as client:
            done = all(client.batch(PLANS, batch_id).refresh().finished for batch_id in batch_ids)
        return PokeReturnValue(is_done=done, xcom_value=batch_ids)

    @task
    def choose(batch_ids: list[str]) -> dict[str, object]:
        """The strategy with the shortest iteration."""
        with Client() as client:
            results = [result for batch_id in batch_ids for result in client.batch(PLANS, batch_id).results()]
        best = min(
            (result.job.best for result in results if result.job.best),
            key=lambda candidate: candidate.estimate.iteration_seconds,
        )
        return best.model_dump(mode="json")

    choose(finished(submit()))


astrolabe_plans()
