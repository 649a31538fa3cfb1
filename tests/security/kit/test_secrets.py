"""No secret is in any log, event, answer, export, metric or error, whatever is asked for."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from tests.security.kit.guarded import LLM_KEY, SANDBOX_TOKEN, SERVICES, Guarded, Owner, belongings


def secrets(guarded: Guarded, owner: Owner) -> dict[str, str]:
    return {
        "the LLM's key": LLM_KEY,
        "the sandbox's token": SANDBOX_TOKEN,
        "the API key": owner.key.split("_", 2)[2],
        "the webhook secret": guarded.webhook_secret("ann").partition("_")[2],
        "the database's password": urlsplit(guarded.database_url).password or "",
    }


def answers(owner: Owner, service: str) -> list[str]:
    """What there is to be read of a job, and the errors that are easily made."""
    ids = belongings(owner, service)
    own = f"{SERVICES[service]}/{ids['job_id']}"
    paths = [own, f"{own}/events", f"{own}/deliveries", SERVICES[service], "/metrics", "/readyz", "/openapi.json"]
    paths += [f"/batches/{ids['batch_id']}?wait=60", f"/batches/{ids['batch_id']}/results"]
    paths += {
        "planner": [f"{own}/exports/{kind}" for kind in ("megatron", "trace")],
        "codetree": [f"{own}/tree", f"{own}/exports/atif", f"{own}/exports/rl", "/solve/exports/sft"],
    }[service]
    read = [owner.ask(service, "GET", path).text for path in paths]
    wrong = [
        owner.ask(service, "POST", SERVICES[service], json={"odd": 1}),
        owner.ask(service, "POST", SERVICES[service], content=b"{", headers={"Content-Type": "application/json"}),
        owner.ask(service, "GET", SERVICES[service], params={"cursor": "?"}),
        owner.ask(service, "GET", SERVICES[service], headers={"Authorization": f"Basic {owner.key}"}),
        owner.ask(service, "GET", SERVICES[service], headers={"Authorization": f"Bearer {owner.key}x"}),
    ]
    return read + [answer.text for answer in wrong]


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_is_told(guarded: Guarded, service: str) -> None:
    ann = guarded.owner("ann")
    hidden = secrets(guarded, ann)
    told = answers(ann, service)
    logs = {name: guarded.stack.log(name) for name in guarded.stack.logs}
    assert all(logs.values())
    for what, secret in hidden.items():
        if not secret:
            continue
        assert not [text for text in told if secret in text], what
        for name, log in logs.items():
            lines = [line for line in log.splitlines() if secret in line]
            assert not lines, f"{what} is in the log of {name}"
