"""A stack that demands keys, and what two of its owners have in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from sqlalchemy import update

from kit.auth import SCOPES, ApiKey, KeyLimits, create_key, prefix_of
from kit.db import make_engine, transaction
from kit.webhooks import store as webhooks

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine
    from tests.support.stack import Stack

LLM_KEY = "llm-key-that-nobody-may-see"
SANDBOX_TOKEN = "sandbox-token-that-nobody-may-see"
SERVICES = {"planner": "/plans", "codetree": "/solve"}
PLAN = {
    "model": {"preset": "llama-2-7b"},
    "workload": {"global_batch_size": 64, "sequence_length": 4096},
    "cluster": {"mode": "homogeneous", "gpu": "a100-80gb-sxm", "count": 8},
}
REQUESTS: dict[str, dict[str, Any]] = {
    "planner": PLAN,
    "codetree": {"task": "What is 6 times 7?", "policy": {"kind": "program"}},
}


@dataclass(frozen=True)
class Owner:
    """An owner by one of its keys."""

    stack: Stack
    key: str

    def client(self, service: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.stack.url(service), headers=headers, timeout=70, trust_env=False)

    def ask(self, service: str, method: str, path: str, **more: Any) -> httpx.Response:
        with self.client(service) as client:
            return client.request(method, path, **more)


@dataclass
class Guarded:
    """The stack, and the database its keys are in."""

    stack: Stack
    database_url: str

    def owner(
        self, name: str, *scopes: str, expires_at: datetime | None = None, limits: KeyLimits | None = None
    ) -> Owner:
        with transaction(self.engine) as session:
            return Owner(self.stack, create_key(session, name, scopes or SCOPES[:4], expires_at, limits))

    def revoke(self, owner: Owner, at: datetime) -> None:
        with transaction(self.engine) as session:
            session.execute(update(ApiKey).where(ApiKey.prefix == prefix_of(owner.key)).values(revoked_at=at))

    def webhook_secret(self, owner: str) -> str:
        with transaction(self.engine) as session:
            return webhooks.secrets_of(session, owner)[0]

    @cached_property
    def engine(self) -> Engine:
        return make_engine(self.database_url)


def belongings(owner: Owner, service: str) -> dict[str, str]:
    """Make a job that is told of by a webhook, and a batch; their ids by the names of path parameters."""
    body = {**REQUESTS[service], "webhook": "https://receiver.invalid/hook", "external_id": f"run-{uuid4()}"}
    job = owner.ask(service, "POST", SERVICES[service], json=body).json()["id"]
    ended = owner.ask(service, "GET", f"{SERVICES[service]}/{job}", params={"wait": 60}).json()
    assert ended["status"] == "succeeded", ended
    [delivery] = owner.ask(service, "GET", f"{SERVICES[service]}/{job}/deliveries").json()
    batch = owner.ask(service, "POST", "/batches", json=[REQUESTS[service]]).json()["id"]
    return {"job_id": job, "delivery_id": delivery["id"], "batch_id": batch}
